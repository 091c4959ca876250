/**
 * Media of removable drives: trays, and what lies in them (specification: graph, section 11).
 *
 * A backend without a device takes and gives its medium at any time. How the last medium was open is remembered, for the
 * next one that says nothing about it.
 */
import { invalid } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import type { BlockBackend } from '../block/backend.ts';
import type { BlockNode } from '../block/node.ts';
import type { MediumFlags } from '../block/open-context.ts';
import { BlockFront } from './block-front.ts';

const plainFlags: MediumFlags = {
  readOnly: false,
  direct: false,
  noFlush: false,
  detectZeroes: 'off',
  discard: false,
};

export function rememberFlags(backend: BlockBackend, flags: Partial<MediumFlags>): void {
  backend.lastMedium = { ...plainFlags, ...flags };
}

/** How the medium is open, or the last one was. */
function mediumFlags(backend: BlockBackend): MediumFlags {
  if (backend.hasMedium) {
    const { readOnly, direct, noFlush, detectZeroes, discard } = backend.node.flags;
    return { readOnly, direct, noFlush, detectZeroes, discard };
  }
  return backend.lastMedium ?? plainFlags;
}

function frontOf(backend: BlockBackend): BlockFront | undefined {
  return backend.device instanceof BlockFront ? backend.device : undefined;
}

function checkRemovable(backend: BlockBackend, name: string): void {
  if (backend.device && !backend.device.isRemovable) throw invalid(`Device '${name}' is not removable`);
}

/** `name` is how the user called it. Errors: not removable; locked, without `force`. */
export function openTray(backend: BlockBackend, name: string, force: boolean): void {
  if (!backend.device?.isRemovable) {
    if (backend.device) throw invalid(`Device '${name}' is not removable`);
    return;
  }
  const front = frontOf(backend);
  if (!front?.hasTray || front.isTrayOpen) return;
  if (front.isLocked && !force) {
    throw invalid(
      `Device '${name}' is locked and force was not specified, wait for tray to open and try again`,
    );
  }
  front.openTray();
}

export function closeTray(backend: BlockBackend, name: string): void {
  checkRemovable(backend, name);
  const front = frontOf(backend);
  if (front?.hasTray) front.closeTray();
}

/** Harmless without a medium. Errors: not removable, the tray is closed, the medium is needed by others. */
export async function removeMedium(backend: BlockBackend, name: string): Promise<void> {
  checkRemovable(backend, name);
  if (backend.device?.isTrayOpen === false) throw invalid(`Tray of device '${name}' is not open`);
  if (!backend.hasMedium) return;
  backend.node.opBlockers.check('eject');
  rememberFlags(backend, mediumFlags(backend));
  await backend.remove();
}

/** The backend gets a reference of its own. Errors: not removable, the tray is closed, there is a medium. */
export async function insertMedium(backend: BlockBackend, node: BlockNode): Promise<void> {
  const { device } = backend;
  if (device && !device.isRemovable) throw invalid('Device is not removable');
  if (device?.isTrayOpen === false) throw invalid('Tray of the device is not open');
  if (backend.hasMedium) throw invalid('There already is a medium in the device');
  await frontOf(backend)?.prepareFor(node);
  await backend.insert(node);
}

interface NewMedium {
  filename: string;
  format: string | undefined;
  /** Undefined: as the one before. */
  readOnly: boolean | undefined;
  force: boolean;
}

/** Opens the new medium before anything is moved. Errors: those of each step. */
export async function changeMedium(
  backend: BlockBackend,
  name: string,
  { filename, format, readOnly, force }: NewMedium,
  graph: BlockNode['graph'],
): Promise<void> {
  const flags = mediumFlags(backend);
  const node = await graph.openFile(filename, {
    ...withoutUndefined({ format }),
    flags: { ...flags, readOnly: readOnly ?? flags.readOnly, autoReadOnly: false },
  });
  try {
    openTray(backend, name, force);
    await removeMedium(backend, name);
    await insertMedium(backend, node);
    closeTray(backend, name);
  } finally {
    await graph.unref(node);
  }
}
