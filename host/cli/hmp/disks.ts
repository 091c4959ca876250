/** Commands about disks: sizes, snapshots, limits, media, and drives that come and go. */
import { assert } from '../../base/assert.ts';
import { BlockError, invalid } from '../../base/errors.ts';
import { parseDrive } from '../../machine/drive-options.ts';
import { parseOption } from '../../qapi/keyval-values.ts';
import type { CommandContext } from '../../qmp/command.ts';
import { type Arguments, device, flag, type HmpCommand, optionalWord, silently, word } from './command.ts';

const changeModes = ['retain', 'read-only', 'read-write'];
const rates = ['bps', 'bps_rd', 'bps_wr', 'iops', 'iops_rd', 'iops_wr'] as const;

/** Numbers that messages have for `if=`. */
const interfaces = ['none', 'ide', 'scsi', 'floppy', 'pflash', 'mtd', 'sd', 'virtio', 'xen'];

async function driveAdd(context: CommandContext, { node, options }: Arguments): Promise<string> {
  try {
    if (node) await addNode(context, options as string);
    else return await addDrive(context, options as string);
    return '';
  } catch (error) {
    // It shows what went wrong without calling it an error.
    if (error instanceof BlockError) return `${error.message}\n`;
    throw error;
  }
}

async function addNode(context: CommandContext, text: string): Promise<void> {
  const add = context.commands.find('blockdev-add')!; // every program has it
  const options = parseOption(add.args, text, 'driver') as Record<string, unknown>;
  if (options['node-name'] === undefined) throw invalid("'node-name' needs to be specified");
  await add.run(context, options);
}

async function addDrive({ machine, graph }: CommandContext, text: string): Promise<string> {
  assert(machine, 'a drive without a machine');
  const { drives } = machine.options.type;
  const warn = (message: string): void => graph.platform.console.warn(message);
  const bus = /(?:^|,)if=(\w+)/.exec(text)?.[1] ?? drives.interface;
  if (bus !== 'none') return `Can't hot-add drive to type ${interfaces.indexOf(bus)}\n`;
  await machine.addDrive(parseDrive(text, drives, warn), '');
  return 'OK\n';
}

/** The disk is gone for its device from now on, whose requests fail. */
async function driveDel(context: CommandContext, { id }: Arguments): Promise<string> {
  const { graph } = context;
  const name = id as string;
  const backend = graph.backends.find(name);
  if (!backend) {
    if (graph.findNode(name)) return silently(context, 'blockdev-del', { 'node-name': name });
    return `Device '${name}' not found\n`;
  }
  if (backend.hasMedium) {
    backend.node.opBlockers.check('drive-del');
    await backend.remove();
  }
  // A device keeps what is left of it until it goes itself.
  if (!backend.device) await backend.delete();
  return '';
}

export const diskCommands: readonly HmpCommand[] = [
  {
    name: 'block_resize',
    parameters: [device, { name: 'size', kind: 'size' }],
    help: 'resize a block image (megabytes unless a suffix says otherwise)',
    run: (context, { device, size }) => silently(context, 'block_resize', { device, size }),
  },
  {
    name: 'block_set_io_throttle',
    parameters: [device, ...rates.map((name) => ({ name, kind: 'int' as const }))],
    help: 'change I/O throttle limits for a block drive',
    run: (context, args) => silently(context, 'block_set_io_throttle', args),
  },
  {
    name: 'drive_add',
    parameters: [flag('n', 'node'), word('address'), { name: 'options', kind: 'rest' }],
    help: 'add a drive without a device: drive_add 0 if=none,id=…',
    run: driveAdd,
  },
  {
    name: 'drive_del',
    parameters: [{ ...device, name: 'id' }],
    help: 'remove a host block device',
    run: driveDel,
  },
  {
    name: 'snapshot_blkdev',
    parameters: [flag('n', 'existing'), device, optionalWord('file'), optionalWord('format')],
    help: 'initiates a live snapshot of a device (-n: the image exists)',
    async run(context, { device, file, format, existing }) {
      if (file === undefined) throw invalid("Parameter 'snapshot-file' is missing");
      return silently(context, 'blockdev-snapshot-sync', {
        device,
        'snapshot-file': file,
        format,
        mode: existing ? 'existing' : 'absolute-paths',
      });
    },
  },
  {
    name: 'snapshot_blkdev_internal',
    parameters: [device, word('name')],
    help: 'take an internal snapshot of a device',
    run: (context, { device, name }) =>
      silently(context, 'blockdev-snapshot-internal-sync', { device, name }),
  },
  {
    name: 'snapshot_delete_blkdev_internal',
    parameters: [device, word('name'), optionalWord('id')],
    help: 'delete an internal snapshot of a device',
    run: (context, { device, name, id }) =>
      silently(context, 'blockdev-snapshot-delete-internal-sync', { device, name, id }),
  },
  {
    name: 'eject',
    parameters: [flag('f', 'force'), device],
    help: 'eject a removable medium (-f: force it)',
    run: (context, { device, force }) => silently(context, 'eject', { device, force: force === true }),
  },
  {
    name: 'change',
    parameters: [
      flag('f', 'force'),
      device,
      { name: 'filename', kind: 'filename' },
      optionalWord('format'),
      optionalWord('mode'),
    ],
    help: 'change a removable medium, optional format, read-only mode (-f: force it)',
    run(context, { device, filename, format, mode, force }) {
      if (mode !== undefined && !changeModes.includes(mode as string)) {
        throw invalid(`invalid parameter value: ${mode}`);
      }
      return silently(context, 'blockdev-change-medium', {
        device,
        filename,
        format,
        'read-only-mode': mode,
        force: force === true,
      });
    },
  },
];
