/** object-del: removes an object that nobody uses (specification: throttling, section 4). */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const objectDel = defineCommand({
  name: 'object-del',
  args: struct('ObjectDelArguments', { id: str }),
  since: '2.0',
  run({ objects }, { id }) {
    objects.remove(id);
    return {};
  },
});
