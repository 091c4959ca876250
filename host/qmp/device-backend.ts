/** From a device, as `id` arguments of commands name it, to the backend that it has as its disk. */
import { invalid } from '../base/errors.ts';
import type { BlockBackend } from '../block/backend.ts';
import { deviceNotFound } from '../objects/qom.ts';
import type { CommandContext } from './registry.ts';

/** `id` is an id or a path in the object model. Errors: no such device; one that holds no backend itself. */
export function backendOfDevice({ graph, objects }: CommandContext, id: string): BlockBackend {
  const object = objects.tree.resolve(id);
  if (!object.isDevice) throw deviceNotFound(id);
  const path = objects.tree.pathOf(object);
  const backend = graph.backends.list().find(({ device }) => device?.path === path);
  if (!backend) throw invalid('Device does not have a block device backend');
  return backend;
}
