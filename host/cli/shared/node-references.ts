/**
 * Options of a command line that name a node where they could describe one: `backing=m`. With `backing.driver=…` beside it one of
 * the two would be lost when they are nested, so it is refused before. QMP takes no dotted names.
 */
import { invalid } from '../../base/errors.ts';
import type { NodeOptions } from '../../block/options.ts';

/** What may be the name of a node, or the options of one. */
const children = new Set(['file', 'backing', 'image', 'raw', 'test', 'target']);

/** A node that there is has its options, and takes no others. `noBacking`: backing files are not opened. Errors: BlockError. */
export function refuseOptionsBesideNames(given: NodeOptions, noBacking: boolean): void {
  const keys = Object.keys(given);
  for (const [key, value] of Object.entries(given)) {
    const child = key.slice(key.lastIndexOf('.') + 1);
    const isNamed = typeof value === 'string' && value !== '' && children.has(child);
    if (!isNamed || !keys.some((other) => other.startsWith(`${key}.`))) continue;
    const error = invalid(
      'Cannot reference an existing block device with additional options or a new filename',
    );
    if (!key.split('.').includes('backing')) throw error;
    if (!noBacking) throw error.within('Could not open backing file');
  }
}
