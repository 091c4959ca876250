/**
 * The devices that come with a machine: those for drives of an interface that it has, and those that are there unless
 * `-nodefaults` (specification: graph, section 10; cli, section 6).
 */
import { invalid } from '../base/errors.ts';
import { addBuiltInDevice } from './device-life.ts';
import { readDrive, unitsPerBus } from './drive-options.ts';
import type { Drive, DriveInterface } from './drives.ts';
import type { Machine } from './machine.ts';

/** What the user's own devices make superfluous. */
export interface DefaultDrives {
  cd: boolean;
  floppy: boolean;
}

/** The empty drives that a machine has by default. */
export async function addDefaultDrives(machine: Machine, wanted: DefaultDrives): Promise<void> {
  const { type, hasDefaults } = machine.options;
  if (!hasDefaults || type.name === 'none') return;
  if (wanted.cd && type.defaultCdIndex !== undefined) {
    await addUnlessThere(machine, 'ide', type.defaultCdIndex, { media: 'cdrom' });
  }
  if (wanted.floppy && type.hasFloppyController) await addUnlessThere(machine, 'floppy', 0, {});
  await addUnlessThere(machine, 'sd', 0, {});
}

async function addUnlessThere(
  machine: Machine,
  kind: DriveInterface,
  index: number,
  options: Record<string, string>,
): Promise<void> {
  const { drives } = machine.options.type;
  const perBus = unitsPerBus(kind, drives) ?? Number.POSITIVE_INFINITY;
  const bus = Math.floor(index / perBus);
  if (machine.drives.at(kind, bus, index - (bus === 0 ? 0 : bus * perBus))) return;
  const given = { if: kind, index: String(index), ...options };
  await machine.addDrive(
    readDrive(undefined, given, drives, () => {}),
    '',
  );
}

/** Errors: a drive that cannot be used as its device needs it. */
export async function addBuiltInDevices(machine: Machine): Promise<void> {
  const { type, hasDefaults } = machine.options;
  const floppies = machine.drives.list().filter((drive) => drive.interface === 'floppy');
  const shift = hasDefaults ? type.defaultDevices : { ide: 0, floppy: 0 };
  let number = type.firstDevice.ide + shift.ide;
  const ide = machine.drives.list().filter((drive) => drive.interface === 'ide' && drive.bus < type.ideBuses);
  for (const drive of ide.sort((a, b) => a.bus - b.bus || a.unit - b.unit)) {
    const model = drive.media === 'cdrom' ? 'ide-cd' : 'ide-hd';
    await addFor(machine, drive, `device[${number++}]`, model, `ide.${drive.bus}`);
  }
  if (!type.hasFloppyController) return;
  number = type.firstDevice.floppy + shift.floppy + ide.length - 1;
  await addBuiltInDevice(machine, `device[${number++}]`, 'isa-fdc', 'isa.0', {});
  for (const drive of floppies) {
    await addFor(machine, drive, `device[${number++}]`, 'floppy', 'floppy-bus.0');
  }
}

async function addFor(
  machine: Machine,
  drive: Drive,
  name: string,
  model: string,
  bus: string,
): Promise<void> {
  const { unit, backend } = drive;
  await addBuiltInDevice(machine, name, model, bus, { drive: backend.name, unit });
  drive.isAutomatic = true;
}

/** Throws for the first drive whose interface the machine does not have; the option is in front. */
export function checkOrphans(machine: Machine): void {
  for (const drive of machine.drives.list()) {
    const { interface: kind, bus, unit, backend, context } = drive;
    if (kind === 'none' || backend.device || context === '') continue;
    throw invalid(`machine type does not support if=${kind},bus=${bus},unit=${unit}`).within(context);
  }
}
