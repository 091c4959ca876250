/** Commands of the human monitor that keep the machine in its disks and bring it back, and what `info snapshots` shows of them. */
import { BlockError, invalid } from '../../base/errors.ts';
import type { InternalSnapshot } from '../../block/snapshot-storage.ts';
import { describeSnapshot, findSnapshot, snapshotNode } from '../../block/snapshots.ts';
import { SavedMachines } from '../../machine/saved-machines.ts';
import type { CommandContext } from '../../qmp/command.ts';
import { snapshotTable } from '../shared/snapshot-table.ts';
import { type HmpCommand, optionalWord, word } from './command.ts';

const two = (value: number): string => String(value).padStart(2, '0');

/** The name of a machine that is given none: `vm-20260131235959`, in local time. */
function generatedName({ graph }: CommandContext): string {
  const date = new Date(graph.platform.clock.wallClock().seconds * 1000);
  const day = `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}`;
  return `vm-${day}${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}

/** Gives what there is to show: nothing, or why it could not be done. */
async function withMachines(
  { machine }: CommandContext,
  act: (machines: SavedMachines) => Promise<void>,
): Promise<string> {
  if (!machine) throw invalid('There is no machine');
  const reasons: string[] = [];
  try {
    await act(new SavedMachines(machine, (line) => reasons.push(`${line}\n`)));
    return '';
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    return `${reasons.join('')}Error: ${error.message}\n`;
  }
}

/** Snapshots that every disk of the machine has are those it can go back to. */
async function infoSnapshots({ graph }: CommandContext): Promise<string> {
  const disks = graph.backends
    .list()
    .filter((backend) => backend.hasMedium && !backend.node.readOnly)
    .map(({ name, node }) => ({
      name: name || node.name,
      storage: snapshotNode(node)?.driver.snapshots,
    }));
  const first = disks.find(({ storage }) => storage)?.storage;
  if (!first) return 'no block device can store vmstate for snapshot\n';
  const isOnAll = ({ name }: InternalSnapshot): boolean =>
    disks.every(({ storage }) => storage && findSnapshot(storage, { name }));
  const partial = disks
    .map(({ name, storage }) => ({ name, snapshots: storage?.list().filter((one) => !isOnAll(one)) ?? [] }))
    .filter(({ snapshots }) => snapshots.length > 0);
  const common = first.list().filter(isOnAll);
  if (common.length === 0 && partial.length === 0) return 'There is no snapshot available.\n';
  // Ids differ from disk to disk.
  const whole = common.length === 0 ? 'None\n' : table(common, (info) => ({ ...info, id: '--' }));
  const parts = partial.map(
    ({ name, snapshots }) =>
      `\nList of partial (non-loadable) snapshots on '${name}':\n${table(snapshots, (info) => info)}`,
  );
  return `List of snapshots present on all disks:\n${whole}${parts.join('')}`;
}

function table(snapshots: readonly InternalSnapshot[], show: (info: object) => object): string {
  return `${snapshotTable(snapshots.map((snapshot) => show(describeSnapshot(snapshot)))).join('\n')}\n`;
}

export const snapshotCommands: readonly HmpCommand[] = [
  {
    name: 'savevm',
    parameters: [optionalWord('tag')],
    usage: 'tag',
    help: 'save a VM snapshot. If no tag is provided, a new snapshot is created',
    run: (context, { tag }) =>
      withMachines(context, (machines) =>
        machines.save((tag as string | undefined) ?? generatedName(context)),
      ),
  },
  {
    name: 'loadvm',
    parameters: [word('tag')],
    usage: 'tag',
    help: 'restore a VM snapshot from its tag',
    run: (context, { tag }) => withMachines(context, (machines) => machines.load(tag as string)),
  },
  {
    name: 'delvm',
    parameters: [word('tag')],
    usage: 'tag',
    help: 'delete a VM snapshot from its tag',
    run: (context, { tag }) => withMachines(context, (machines) => machines.delete(tag as string)),
  },
  { name: 'info snapshots', help: 'show the currently saved VM snapshots', run: infoSnapshots },
];
