/** qmp_capabilities: ends the negotiation that every session begins with (specification: qmp-protocol, section 2). */
import { array, enumeration, optional, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { capabilities } from '../protocol.ts';

export const qmpCapabilities = defineCommand({
  name: 'qmp_capabilities',
  args: struct('QmpCapabilitiesArguments', {
    enable: optional(array(enumeration('QMPCapability', capabilities))),
  }),
  run: ({ session }, { enable = [] }) => session.negotiate(enable),
});
