/** query-qmp-schema: everything that can be asked, in a form for programs (specification: qmp-protocol, section 7). */
import { loadPart } from '../../platform/platform.ts';
import { empty } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { events, machineEvents } from '../events.ts';
import { schemaInfoList } from '../schema-types.ts';

export const queryQmpSchema = defineCommand({
  name: 'query-qmp-schema',
  args: empty,
  returns: schemaInfoList,
  async run({ commands, graph, machine }) {
    const { introspect } = await loadPart(graph.platform, () => import('../../qapi/introspect.ts'));
    return introspect(commands.list(), machine ? [...events, ...machineEvents] : events);
  },
});
