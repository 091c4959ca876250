/** Where a device is on a PCI bus: a slot, and a function in it. */
import { invalid } from '../../base/errors.ts';
import type { Device } from '../device.ts';

const slots = 32;
const functions = 8;

/** Checks the address that the device was given, or gives it the first free slot. Errors: BlockError. */
export function takePciAddress(device: PciDevice): void {
  const { bus, machine } = device;
  if (!bus) return;
  const { pci } = machine.options.type;
  const taken = new Map<number, string>(
    pci.builtIn.map(([slot, name]) => [slot * functions, `${name},id=(null)`]),
  );
  const single = new Set<number>();
  for (const other of bus.devices as PciDevice[]) {
    if (other === device) continue;
    const address = addressOf(other);
    taken.set(address, `${other.typeName},id=${other.id ?? '(null)'}`);
    if (address % functions === 0 && !isMultifunction(other)) single.add(Math.floor(address / functions));
  }
  const given = addressOf(device);
  if (given < 0) {
    device.place(firstFree(taken, pci.firstSlot[machine.options.hasDefaults ? 'withDefaults' : 'bare']));
    return;
  }
  checkFree(device, given, taken, single);
}

type PciDevice = Device & { place(address: number): void };

function addressOf(device: Device): number {
  return device.properties.find(({ name }) => name === 'addr')?.get?.() as number;
}

function isMultifunction(device: Device): boolean {
  return device.properties.find(({ name }) => name === 'multifunction')?.get?.() === true;
}

function firstFree(taken: ReadonlyMap<number, string>, first: number): number {
  for (let slot = first; slot < slots; slot++) {
    const inUse = Array.from({ length: functions }, (_, i) => slot * functions + i).some((at) =>
      taken.has(at),
    );
    if (!inUse) return slot * functions;
  }
  throw invalid('PCI: no slot/function available for new device, all in use or reserved');
}

function checkFree(
  device: Device,
  address: number,
  taken: ReadonlyMap<number, string>,
  single: ReadonlySet<number>,
): void {
  const slot = Math.floor(address / functions);
  const unit = address % functions;
  const holder = taken.get(address);
  if (holder !== undefined) {
    throw invalid(
      `PCI: slot ${slot} function ${unit} not available for ${device.typeName}, in use by ${holder}`,
    );
  }
  const where = `${slot.toString(16)}.${unit.toString(16)}`;
  if (unit !== 0 && single.has(slot)) {
    throw invalid(`PCI: single function device can't be populated in function ${where}`);
  }
  if (unit !== 0 || isMultifunction(device)) return;
  for (let other = 1; other < functions; other++) {
    if (!taken.has(slot * functions + other)) continue;
    throw invalid(
      `PCI: ${where} indicates single function, but ${slot.toString(16)}.${other.toString(16)} is already populated.`,
    );
  }
}
