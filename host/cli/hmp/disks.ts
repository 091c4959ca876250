/** Commands about disks: sizes, snapshots, limits, media, and drives that come and go. */
import { assert } from '../../base/assert.ts';
import { invalid } from '../../base/errors.ts';
import { parseDrive } from '../../machine/drive-options.ts';
import type { CommandContext } from '../../qmp/registry.ts';
import { type Arguments, flag, type HmpCommand, optionalWord, silently, word } from './command.ts';

const device = word('device');
const rates = ['bps', 'bps_rd', 'bps_wr', 'iops', 'iops_rd', 'iops_wr'] as const;

async function driveAdd(context: CommandContext, { options }: Arguments): Promise<string> {
  const { machine, graph } = context;
  assert(machine, 'a drive without a machine');
  const text = options as string;
  if (!/(^|,)if=none(,|$)/.test(text))
    return `Can't hot-add drive to type ${/(?:^|,)if=(\w+)/.exec(text)?.[1] ?? 'ide'}\n`;
  const warn = (message: string): void => graph.platform.console.stderr(`warning: ${message}`);
  await machine.addDrive(parseDrive(text, machine.options.type.drives, warn), '');
  return 'OK\n';
}

/** The disk is gone for its device from now on, whose requests fail. */
async function driveDel({ graph }: CommandContext, { id }: Arguments): Promise<string> {
  const name = id as string;
  const backend = graph.backends.find(name);
  if (!backend) {
    if (!graph.findNode(name)) return `Device '${name}' not found\n`;
    throw invalid(`Node '${name}' was added by blockdev-add: it is deleted by blockdev-del`);
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
    parameters: [word('id')],
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
    parameters: [flag('f', 'force'), device, word('filename'), optionalWord('format'), optionalWord('mode')],
    help: 'change a removable medium, optional format, read-only mode (-f: force it)',
    run: (context, { device, filename, format, mode, force }) =>
      silently(context, 'blockdev-change-medium', {
        device,
        filename,
        format,
        'read-only-mode': mode,
        force: force === true,
      }),
  },
];
