/** query-qmp-schema: everything that can be asked, in a form for programs (specification: qmp-protocol, section 7). */
import { introspect } from '../../qapi/introspect.ts';
import { empty } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { events, machineEvents } from '../events.ts';
import { schemaInfoList } from '../schema-types.ts';

export const queryQmpSchema = defineCommand({
  name: 'query-qmp-schema',
  args: empty,
  returns: schemaInfoList,
  run: ({ commands, machine }) =>
    introspect(commands.list(), machine ? [...events, ...machineEvents] : events),
});
