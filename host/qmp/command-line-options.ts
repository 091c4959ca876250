/** What query-command-line-options tells: options that are lists of parameters, and the parameters that are taken. */
import { limitNames } from '../throttle/limit-names.ts';

interface CommandLineParameter {
  readonly name: string;
  readonly type: 'string' | 'boolean' | 'number' | 'size';
  readonly help?: string;
}

export interface CommandLineOption {
  readonly option: string;
  readonly parameters: readonly CommandLineParameter[];
}

type Kind = CommandLineParameter['type'];

const parameter =
  (type: Kind) =>
  (name: string, help?: string): CommandLineParameter =>
    help === undefined ? { name, type } : { name, type, help };
const string = parameter('string');
const boolean = parameter('boolean');
const number = parameter('number');

const throttling = [...limitNames].reverse().map((name) => number(`throttling.${name}`));

export const commandLineOptions: readonly CommandLineOption[] = [
  {
    option: 'machine',
    parameters: [string('accel', 'accelerator list'), string('type', 'emulated machine')],
  },
  { option: 'name', parameters: [string('guest')] },
  { option: 'msg', parameters: [boolean('timestamp')] },
  { option: 'object', parameters: [] },
  { option: 'trace', parameters: ['file', 'events', 'enable'].map((name) => string(name)) },
  {
    option: 'mon',
    parameters: [boolean('pretty'), string('chardev'), string('mode')],
  },
  { option: 'device', parameters: [] },
  {
    option: 'chardev',
    parameters: [
      boolean('append'),
      boolean('server'),
      boolean('wait'),
      string('fd'),
      string('port'),
      string('host'),
      string('path'),
      string('backend'),
    ],
  },
  {
    option: 'drive',
    parameters: [
      boolean('copy-on-read', 'copy read data from backing file into image file'),
      string('werror', 'write error action'),
      string('rerror', 'read error action'),
      boolean('read-only', 'open drive file as read-only'),
      string('file', 'file name'),
      string('if', 'interface (ide, scsi, sd, mtd, floppy, pflash, virtio)'),
      string('media', 'media type (disk, cdrom)'),
      number('index', 'index number'),
      number('unit', 'unit number (i.e. lun for scsi)'),
      number('bus', 'bus number'),
      boolean('stats-account-failed', 'whether to account for failed I/O operations in the statistics'),
      boolean('stats-account-invalid', 'whether to account for invalid I/O operations in the statistics'),
      string('detect-zeroes', 'try to optimize zero writes (off, on, unmap)'),
      string('throttling.group', 'name of the block throttling group'),
      ...throttling,
      string('format', 'disk format (raw, qcow2, ...)'),
      boolean('cache.writeback', 'Enable writeback mode'),
      string('aio', 'host AIO implementation (threads, native, io_uring)'),
      boolean('snapshot', 'enable/disable snapshot mode'),
      boolean('force-share', 'always accept other writers (default: off)'),
      string('discard', 'discard operation (ignore/off, unmap/on)'),
      boolean('auto-read-only', 'Node can become read-only if opening read-write fails'),
      boolean('cache.no-flush', 'Ignore flush requests'),
      boolean('cache.direct', 'Bypass software writeback cache on the host'),
      string('driver', 'Block driver to use for the node'),
      string('node-name', 'Node name of the block device node'),
    ],
  },
];
