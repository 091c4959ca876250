/** device_del: asks for a device to be let go of; DEVICE_DELETED tells when it has gone. */
import { invalid } from '../../base/errors.ts';
import { Device } from '../../machine/device.ts';
import { deviceNotFound } from '../../objects/qom.ts';
import { str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const deviceDel = defineMachineCommand({
  name: 'device_del',
  args: struct('DeviceDelArguments', { id: str }),
  async run(machine, { id }, { objects }) {
    const device = id.startsWith('/') ? objects.tree.resolve(id) : machine.findDevice(id);
    if (!device) throw deviceNotFound(id);
    if (!(device instanceof Device)) throw invalid(`${id} is not a device`);
    await machine.removeDevice(device);
    return {};
  },
});
