/**
 * query-block: the disks of a machine's devices. Nodes added by name are not among them, and there are no others here.
 */
import { any, array, empty } from '../../qapi/types.ts';
import { defineCommand } from '../registry.ts';

export const queryBlock = defineCommand({
  name: 'query-block',
  args: empty,
  returns: array(any),
  run: () => [],
});
