/**
 * What the devices of a machine hold beside their disks, as `savevm` keeps it where nothing runs a guest's code: which devices
 * there are, and how trays stand.
 *
 * A line that names the format, then JSON. What is restored comes from an image and is not trusted. Drives of IDE and floppy
 * controllers may be others than they were, as with QEMU: what they held is dropped. A device on any other bus must be there.
 * Limits, figures and error policies belong to the host and are not kept.
 */
import { invalid } from '../base/errors.ts';
import { parseJson } from '../qapi/json.ts';
import { checkStrict } from '../qapi/strict.ts';
import { array, bool, optional, str, struct, type TypeOf } from '../qapi/types.ts';
import type { Device } from './device.ts';
import type { Machine } from './machine.ts';

/** More is no state of ours. */
export const maxDeviceStateBytes = 1 << 20;

const signature = 'blockyard machine state 1\n';
const buses = ['IDE', 'floppy-bus'];

const trayState = struct('TrayState', { open: bool, locked: bool });

const machineState = struct('MachineState', {
  machine: str,
  devices: array(struct('DeviceState', { path: str, section: str, tray: optional(trayState) })),
});

type MachineState = TypeOf<typeof machineState>;

export function saveDevices({ options, devices }: Machine): Uint8Array<ArrayBuffer> {
  const state: MachineState = {
    machine: options.type.name,
    devices: devices
      .filter((device) => device.tray !== undefined || !buses.includes(device.type.busKind))
      .map((device) => ({
        path: device.path,
        section: sectionOf(device),
        ...(device.tray === undefined ? {} : { tray: device.tray }),
      })),
  };
  return new TextEncoder().encode(signature + JSON.stringify(state));
}

/** Errors: it is no such state, or that of another machine. */
export function readDevices({ options, devices }: Machine, bytes: Uint8Array): MachineState {
  const text = new TextDecoder().decode(bytes);
  if (!text.startsWith(signature)) throw invalid('Not a machine state of blockyard');
  const state = checkStrict(machineState, parseJson(text.slice(signature.length)));
  const { type } = options;
  if (state.machine !== type.name) {
    throw invalid(`Machine type received is '${state.machine}' and local is '${type.name}'`);
  }
  for (const { path, section, tray } of state.devices) {
    if (tray !== undefined || devices.some((device) => device.path === path && sectionOf(device) === section))
      continue;
    throw invalid(
      `Unknown savevm section or instance '${section}' 0. Make sure that your current VM setup matches your saved VM setup, including any hotplugged devices`,
    );
  }
  return state;
}

/** Puts back what `readDevices` has found good. */
export function restoreDevices({ devices }: Machine, state: MachineState): void {
  for (const { path, tray } of state.devices) {
    if (tray) devices.find((device) => device.path === path)?.restoreTray?.(tray);
  }
}

/** As QEMU calls the part of a state that is a device's. */
function sectionOf(device: Device): string {
  const kind = device.typeName.replace(/-pci$/, '');
  const address = device.properties.find(({ name }) => name === 'addr')?.get?.();
  if (typeof address !== 'number') return `${device.path}/${kind}`;
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  return `0000:00:${hex(address >> 3)}.${address & 7}/${kind}`;
}
