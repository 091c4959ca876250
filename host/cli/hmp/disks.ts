/** Commands about disks: sizes, snapshots, limits, media, and drives that come and go. */
import { assert } from '../../base/assert.ts';
import { BlockError, invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { parseDrive } from '../../machine/drive-options.ts';
import { nestDottedKeys } from '../../qapi/dotted-keys.ts';
import { parseQemuOpts } from '../../qapi/qemu-opts.ts';
import type { CommandContext } from '../../qmp/command.ts';
import {
  type Arguments,
  describeError,
  device,
  flag,
  type HmpCommand,
  optionalWord,
  silently,
  word,
} from './command.ts';

const changeModes = ['retain', 'read-only', 'read-write'];
const rates = ['bps', 'bps_rd', 'bps_wr', 'iops', 'iops_rd', 'iops_wr'] as const;

/** Numbers that messages have for `if=`. */
const interfaces = ['none', 'ide', 'scsi', 'floppy', 'pflash', 'mtd', 'sd', 'virtio', 'xen'];

async function driveAdd(context: CommandContext, { node, options }: Arguments): Promise<string> {
  let said = '';
  const warn = (message: string, hint?: string): void => {
    said += `warning: ${message}\n${hint === undefined ? '' : `${hint}\n`}`;
  };
  try {
    if (node) await addNode(context, options as string, warn);
    else {
      const answer = await addDrive(context, options as string, warn);
      said += answer;
    }
  } catch (error) {
    // It shows what went wrong without calling it an error.
    if (!(error instanceof BlockError)) throw error;
    said += describeError(error);
  }
  return said;
}

type Warn = (message: string, hint?: string) => void;

/** As `-drive` has the options of its node: text, whatever they are. */
async function addNode({ graph }: CommandContext, text: string, warn: Warn): Promise<void> {
  const { id, pairs } = parseQemuOpts(text, { warn });
  const options = nestDottedKeys<unknown>({
    ...Object.fromEntries(pairs.map(({ name, value }) => [name, value])),
    ...withoutUndefined({ id }),
  });
  if (options['node-name'] === undefined) throw invalid("'node-name' needs to be specified");
  const node = await graph.open(options);
  node.monitorOwned = true;
}

async function addDrive({ machine }: CommandContext, text: string, warn: Warn): Promise<string> {
  assert(machine, 'a drive without a machine');
  const { drives } = machine.options.type;
  const bus = /(?:^|,)if=(\w+)/.exec(text)?.[1] ?? drives.interface;
  if (!interfaces.includes(bus)) return `unsupported bus type '${bus}'\n`;
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
    usage: 'device size',
    help: 'resize a block image',
    run: (context, { device, size }) => silently(context, 'block_resize', { device, size }),
  },
  {
    name: 'block_set_io_throttle',
    parameters: [device, ...rates.map((name) => ({ name, kind: 'int' as const }))],
    usage: 'device bps bps_rd bps_wr iops iops_rd iops_wr',
    help: 'change I/O throttle limits for a block drive',
    run: (context, args) => silently(context, 'block_set_io_throttle', args),
  },
  {
    name: 'drive_add',
    parameters: [flag('n', 'node'), word('address'), word('options')],
    usage: [
      '[-n] [[<domain>:]<bus>:]<slot>',
      '[file=file][,if=type][,bus=n]',
      '[,unit=m][,media=d][,index=i]',
      '[,snapshot=on|off][,cache=on|off]',
      '[,readonly=on|off][,copy-on-read=on|off]',
    ].join('\n'),
    help: 'add drive to PCI storage controller',
    run: driveAdd,
  },
  {
    name: 'drive_del',
    parameters: [{ ...device, name: 'id' }],
    usage: 'device',
    help: 'remove host block device',
    run: driveDel,
  },
  {
    name: 'snapshot_blkdev',
    parameters: [flag('n', 'existing'), device, optionalWord('file'), optionalWord('format')],
    usage: '[-n] device [new-image-file] [format]',
    help: [
      'initiates a live snapshot',
      '\t\t\tof device. If a new image file is specified, the',
      '\t\t\tnew image file will become the new root image.',
      '\t\t\tIf format is specified, the snapshot file will',
      '\t\t\tbe created in that format.',
      '\t\t\tThe default format is qcow2.  The -n flag requests QEMU',
      '\t\t\tto reuse the image found in new-image-file, instead of',
      '\t\t\trecreating it from scratch.',
    ].join('\n'),
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
    usage: 'device name',
    help: [
      'take an internal snapshot of device.',
      '\t\t\tThe format of the image used by device must',
      '\t\t\tsupport it, such as qcow2.',
      '\t\t\t',
    ].join('\n'),
    run: (context, { device, name }) =>
      silently(context, 'blockdev-snapshot-internal-sync', { device, name }),
  },
  {
    name: 'snapshot_delete_blkdev_internal',
    parameters: [device, word('name'), optionalWord('id')],
    usage: 'device name [id]',
    help: [
      'delete an internal snapshot of device.',
      '\t\t\tIf id is specified, qemu will try delete',
      '\t\t\tthe snapshot matching both id and name.',
      '\t\t\tThe format of the image used by device must',
      '\t\t\tsupport it, such as qcow2.',
      '\t\t\t',
    ].join('\n'),
    run: (context, { device, name, id }) =>
      silently(context, 'blockdev-snapshot-delete-internal-sync', { device, name, id }),
  },
  {
    name: 'eject',
    parameters: [flag('f', 'force'), device],
    usage: '[-f] device',
    help: 'eject a removable medium (use -f to force it)',
    run: (context, { device, force }) => silently(context, 'eject', { device, force: force === true }),
  },
  {
    name: 'change',
    parameters: [
      device,
      flag('f', 'force'),
      { name: 'filename', kind: 'filename' },
      optionalWord('format'),
      optionalWord('mode'),
    ],
    usage: 'device [-f] filename [format [read-only-mode]]',
    help: 'change a removable medium, optional format, use -f to force the operation',
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
