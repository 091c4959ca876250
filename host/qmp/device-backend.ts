/** From a device, as `id` arguments of commands name it, to the backend that it has as its disk. */
import { invalid } from '../base/errors.ts';
import type { BlockBackend } from '../block/backend.ts';
import { deviceNotFound } from '../objects/qom.ts';
import type { CommandContext } from './command.ts';

/** `id` is an id or a path in the object model. Errors: no such device; one that holds no backend itself. */
export function backendOfDevice({ graph, objects }: CommandContext, id: string): BlockBackend {
  const object = objects.tree.resolve(id);
  if (!object.isDevice) throw invalid(`${id} is not a device`);
  const path = objects.tree.pathOf(object);
  const backend = graph.backends.list().find(({ device }) => device?.path === path);
  if (!backend) throw invalid('Device does not have a block device backend');
  return backend;
}

/** By name of a backend or by device. `name` is what the user called it. Errors: none or both given; unknown. */
export function backendOf(
  context: CommandContext,
  { device, id }: { device?: string | undefined; id?: string | undefined },
): { backend: BlockBackend; name: string } {
  if ((device === undefined) === (id === undefined)) {
    throw invalid("Need exactly one of 'device' and 'id'");
  }
  if (id !== undefined) return { backend: backendOfDevice(context, id), name: id };
  const name = device as string; // one of them is given
  const backend = context.graph.backends.find(name);
  if (!backend) throw deviceNotFound(name);
  return { backend, name };
}
