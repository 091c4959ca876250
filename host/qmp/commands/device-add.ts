/** device_add: plugs a device in (specification: cli, section 6). */
import type { JsonObject } from '../../qapi/json-value.ts';
import { optional, type StructType, str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

/** Which others there are depends on the driver. */
const deviceAddArguments: StructType<{ driver: string }> = {
  ...struct('DeviceAddArguments', { driver: str, bus: optional(str), id: optional(str) }),
  isOpen: true,
};

export const deviceAdd = defineMachineCommand<{ driver: string }, object>({
  name: 'device_add',
  args: deviceAddArguments,
  async run(machine, options) {
    await machine.addDevice(options as unknown as JsonObject, false);
    return {};
  },
});
