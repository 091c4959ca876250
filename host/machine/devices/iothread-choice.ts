/**
 * Which event loops a virtio device's requests are to run in: all in one (`iothread`), or each queue in one of several
 * (`iothread-vq-mapping`). What is asked for is checked, kept and shown; all work runs in one thread here.
 *
 * The mapping names every queue once, or none: then the queues go round the loops. Like a link it does not hold its loops, which
 * may be deleted.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import type { QomObject, QomTree } from '../../objects/qom.ts';
import { array, optional, str, struct, uint16 } from '../../qapi/types.ts';
import { link, type PropertySpec, type PropertyValue, type VirtQueueMapping } from '../property.ts';

const iothread = 'iothread';

const mappingProperty: PropertySpec = {
  name: 'iothread-vq-mapping',
  type: array(struct('IOThreadVirtQueueMapping', { iothread: str, vqs: optional(array(uint16)) })),
  typeName: 'IOThreadVirtQueueMappingList',
  initial: [],
};

export const iothreadProperties: readonly PropertySpec[] = [link(iothread, iothread), mappingProperty];

/**
 * Checks what a device's properties say of loops, `ioeventfd` among them: without it no other thread hears of requests.
 * Errors: BlockError, they contradict each other, or there are no such loops or queues.
 */
export function checkIothreads(
  properties: ReadonlyMap<string, PropertyValue>,
  queueCount: number,
  tree: QomTree,
): void {
  const mapping = properties.get(mappingProperty.name) as readonly VirtQueueMapping[];
  const isGiven = properties.get(iothread) !== '';
  const isMapped = mapping.length > 0;
  if (isGiven && isMapped) {
    throw invalid('iothread and iothread-vq-mapping properties cannot be set at the same time');
  }
  if ((isGiven || isMapped) && properties.get('ioeventfd') === false) {
    throw invalid('ioeventfd is required for iothread');
  }
  if (isMapped) checkMapping(mapping, queueCount, tree);
}

function checkMapping(mapping: readonly VirtQueueMapping[], queueCount: number, tree: QomTree): void {
  const loops = new Set<string>();
  const assigned = new Set<number>();
  const namesQueues = hasQueues(mapping[0]);
  for (const item of mapping) {
    const { iothread: name, vqs = [] } = item;
    if (findObject(tree, name)?.typeName !== iothread) {
      throw invalid(`IOThread "${name}" object does not exist`);
    }
    if (loops.has(name)) throw invalid(`duplicate IOThread name "${name}" in iothread-vq-mapping`);
    loops.add(name);
    if (hasQueues(item) !== namesQueues) {
      throw invalid('either all items in iothread-vq-mapping must have vqs or none of them must have it');
    }
    for (const queue of vqs) {
      if (queue >= queueCount) {
        throw invalid(
          `vq index ${queue} for IOThread "${name}" must be less than num_queues ${queueCount} in iothread-vq-mapping`,
        );
      }
      if (assigned.has(queue)) {
        throw invalid(`cannot assign vq ${queue} to IOThread "${name}" because it is already assigned`);
      }
      assigned.add(queue);
    }
  }
  if (!namesQueues) return;
  for (let queue = 0; queue < queueCount; queue++) {
    if (!assigned.has(queue)) throw invalid(`missing vq ${queue} IOThread assignment in iothread-vq-mapping`);
  }
}

function hasQueues({ vqs = [] }: VirtQueueMapping = { iothread: '' }): boolean {
  return vqs.length > 0;
}

function findObject(tree: QomTree, path: string): QomObject | undefined {
  try {
    return tree.resolve(path);
  } catch (error) {
    if (error instanceof BlockError) return undefined;
    throw error;
  }
}
