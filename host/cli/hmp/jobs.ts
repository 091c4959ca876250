/** Commands that start jobs, and those that steer them. */
import { commitAndWait } from '../../jobs/commit/commit-and-wait.ts';
import { type Arguments, device, flag, type HmpCommand, optionalWord, silently, word } from './command.ts';

/** `block_job_cancel` and the like: one QMP command with the job's id. */
function steering(name: string, command: string, help: string): HmpCommand {
  return {
    name,
    parameters: [device],
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

export const jobCommands: readonly HmpCommand[] = [
  {
    name: 'block_job_cancel',
    parameters: [flag('f', 'force'), device],
    help: 'stop an active background block operation (-f: force it)',
    run: (context, { device, force }) =>
      silently(context, 'block-job-cancel', { device, force: force === true }),
  },
  steering(
    'block_job_complete',
    'block-job-complete',
    'stop an active background block operation when it is ready',
  ),
  steering('block_job_pause', 'block-job-pause', 'pause an active background block operation'),
  steering('block_job_resume', 'block-job-resume', 'resume a paused background block operation'),
  {
    name: 'block_job_set_speed',
    parameters: [device, { name: 'speed', kind: 'size' }],
    help: 'set maximum speed for a background block operation',
    run: (context, { device, speed }) => silently(context, 'block-job-set-speed', { device, speed }),
  },
  {
    name: 'block_stream',
    parameters: [device, { name: 'speed', kind: 'size', optional: true }, optionalWord('base')],
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
    help: 'initiates a point-in-time copy of a device (-n: the image exists; -f: the whole disk; -c: compress)',
    run: (context, { compress, ...given }) =>
      silently(context, 'drive-backup', { ...copyArguments(given), compress: compress === true }),
  },
  {
    name: 'drive_mirror',
    parameters: [flag('n', 'existing'), flag('f', 'full'), device, word('target'), optionalWord('format')],
    help: 'initiates live storage migration for a device (-n: the image exists; -f: the whole disk)',
    run: (context, given) => silently(context, 'drive-mirror', { ...copyArguments(given), unmap: true }),
  },
  {
    name: 'commit',
    parameters: [device],
    help: "commit changes to the disk images (if -snapshot is used) or backing files: a device, or 'all'",
    async run(context, args) {
      const name = args['device'] as string;
      const { graph } = context;
      const found = graph.backends.list().filter((backend) => name === 'all' || backend.name === name);
      if (name !== 'all' && found.length === 0) return `Device '${name}' not found\n`;
      for (const backend of found) {
        if (!backend.hasMedium || !backend.node.skipFilters().backing()) {
          if (name !== 'all') return `'commit' error for '${name}': Operation not supported\n`;
          continue;
        }
        const { node } = backend;
        const base = node.skipFilters().backing()!.skipFilters(); // looked at above
        await commitAndWait(graph, { id: backend.name, top: node, base });
      }
      return '';
    },
  },
];
