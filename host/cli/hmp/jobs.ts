/** Commands that start jobs, and those that steer them. */

import { BlockError } from '../../base/errors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { commitAndEmpty } from '../../jobs/commit/commit-and-empty.ts';
import type { CommandContext } from '../../qmp/command.ts';
import { type Arguments, device, flag, type HmpCommand, optionalWord, silently, word } from './command.ts';

/** `block_job_cancel` and the like: one QMP command with the job's id. */
function steering(name: string, command: string, help: string): HmpCommand {
  return {
    name,
    parameters: [device],
    usage: 'device',
    help,
    run: (context, args) => silently(context, command, { device: args['device'] }),
  };
}

/** What drive_backup and drive_mirror have in common. */
function copyArguments({ device, target, format, existing, full }: Arguments): object {
  return {
    device,
    target,
    format,
    sync: full ? 'full' : 'top',
    mode: existing ? 'existing' : 'absolute-paths',
  };
}

/** Disks without a backing file are left alone when all are meant. */
async function commit({ graph }: CommandContext, name: string): Promise<string> {
  const isCommittable = (disk: BlockBackend): boolean =>
    disk.hasMedium && disk.node.skipFilters().backing() !== undefined;
  const all = graph.backends.list();
  const chosen = name === 'all' ? all.filter(isCommittable) : all.filter((disk) => disk.name === name);
  if (name !== 'all' && chosen.length === 0) return `Device '${name}' not found\n`;
  for (const disk of chosen) {
    const failed = (why: string): string => `'commit' error for '${name}': ${why}\n`;
    if (!disk.hasMedium) return `Device '${name}' has no medium\n`;
    if (!isCommittable(disk)) return failed('Operation not supported');
    if (disk.node.readOnly) return `Block node is read-only\n${failed('Operation not permitted')}`;
    const base = disk.node.skipFilters().backing()!.skipFilters(); // looked at above
    try {
      await commitAndEmpty(graph, { id: disk.name, top: disk.node, base });
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      return failed(error.message);
    }
  }
  return '';
}

export const jobCommands: readonly HmpCommand[] = [
  {
    name: 'block_job_cancel',
    parameters: [flag('f', 'force'), device],
    usage: '[-f] device',
    help: [
      'stop an active background block operation (use -f',
      '\t\t\t if you want to abort the operation immediately',
      '\t\t\t instead of keep running until data is in sync)',
    ].join('\n'),
    run: (context, { device, force }) =>
      silently(context, 'block-job-cancel', { device, force: force === true }),
  },
  steering('block_job_complete', 'block-job-complete', 'stop an active background block operation'),
  steering('block_job_pause', 'block-job-pause', 'pause an active background block operation'),
  steering('block_job_resume', 'block-job-resume', 'resume a paused background block operation'),
  {
    name: 'block_job_set_speed',
    parameters: [device, { name: 'speed', kind: 'size' }],
    usage: 'device speed',
    help: 'set maximum speed for a background block operation',
    run: (context, { device, speed }) => silently(context, 'block-job-set-speed', { device, speed }),
  },
  {
    name: 'block_stream',
    parameters: [device, { name: 'speed', kind: 'size', optional: true }, optionalWord('base')],
    usage: 'device [speed [base]]',
    help: 'copy data from a backing file into a block device',
    run: (context, { device, speed, base }) =>
      silently(context, 'block-stream', { 'job-id': device, device, speed: speed ?? 0, base }),
  },
  {
    name: 'drive_backup',
    parameters: [
      flag('n', 'existing'),
      flag('f', 'full'),
      flag('c', 'compress'),
      device,
      word('target'),
      optionalWord('format'),
    ],
    usage: '[-n] [-f] [-c] device target [format]',
    help: [
      'initiates a point-in-time',
      "\t\t\tcopy for a device. The device's contents are",
      '\t\t\tcopied to the new image file, excluding data that',
      '\t\t\tis written after the command is started.',
      '\t\t\tThe -n flag requests QEMU to reuse the image found',
      '\t\t\tin new-image-file, instead of recreating it from scratch.',
      '\t\t\tThe -f flag requests QEMU to copy the whole disk,',
      '\t\t\tso that the result does not need a backing file.',
      '\t\t\tThe -c flag requests QEMU to compress backup data',
      '\t\t\t(if the target format supports it).',
      '\t\t\t',
    ].join('\n'),
    run: (context, { compress, ...given }) =>
      silently(context, 'drive-backup', { ...copyArguments(given), compress: compress === true }),
  },
  {
    name: 'drive_mirror',
    parameters: [flag('n', 'existing'), flag('f', 'full'), device, word('target'), optionalWord('format')],
    usage: '[-n] [-f] device target [format]',
    help: [
      'initiates live storage',
      "\t\t\tmigration for a device. The device's contents are",
      '\t\t\tcopied to the new image file, including data that',
      '\t\t\tis written after the command is started.',
      '\t\t\tThe -n flag requests QEMU to reuse the image found',
      '\t\t\tin new-image-file, instead of recreating it from scratch.',
      '\t\t\tThe -f flag requests QEMU to copy the whole disk,',
      '\t\t\tso that the result does not need a backing file.',
      '\t\t\t',
    ].join('\n'),
    run: (context, given) => silently(context, 'drive-mirror', { ...copyArguments(given), unmap: true }),
  },
  {
    name: 'commit',
    parameters: [device],
    usage: 'device|all',
    help: 'commit changes to the disk images (if -snapshot is used) or backing files',
    run: (context, { device }) => commit(context, device as string),
  },
];
