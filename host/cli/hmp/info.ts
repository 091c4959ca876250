/** What `info` tells: disks, jobs, and the state of the machine. */
import type { CommandContext } from '../../qmp/command.ts';
import { humanInfo } from '../shared/human-info.ts';
import type { ImageInfo } from '../shared/image-info.ts';
import { type Arguments, device, flag, type HmpCommand, qmp } from './command.ts';

interface Inserted {
  file: string;
  drv: string;
  ro: boolean;
  'node-name'?: string;
  encrypted: boolean;
  detect_zeroes: string;
  backing_file?: string;
  backing_file_depth: number;
  cache: { writeback: boolean; direct: boolean; 'no-flush': boolean };
  image: ImageInfo & { 'backing-image'?: ImageInfo };
  [limit: string]: unknown;
}

interface BlockInfo {
  device: string;
  qdev?: string;
  removable: boolean;
  locked: boolean;
  tray_open?: boolean;
  'io-status'?: string;
  inserted?: Inserted;
}

interface Described {
  readonly name: string;
  readonly text: string;
}

/** A name that is no device's may be a node's. What is not the first of its list has an empty line in front, alone or not. */
async function infoBlock(context: CommandContext, { device, nodes, verbose }: Arguments): Promise<string> {
  const isVerbose = verbose === true;
  if (nodes) return select(await describeNodes(context, isVerbose), device);
  const shown = select(await describeDevices(context, isVerbose), device);
  return shown === '' && device !== undefined
    ? select(await describeNodes(context, isVerbose), device)
    : shown;
}

function select(all: readonly Described[], wanted: Arguments[string]): string {
  return all
    .map(({ name, text }, i) => ({ name, text: i === 0 ? text : `\n${text}` }))
    .filter(({ name }) => wanted === undefined || name === wanted)
    .map(({ text }) => text)
    .join('');
}

async function describeDevices(context: CommandContext, verbose: boolean): Promise<Described[]> {
  const infos = (await qmp(context, 'query-block')) as BlockInfo[];
  return infos.map((info) => {
    const { device, inserted } = info;
    const title = device || info.qdev || '<anonymous>';
    const medium = inserted ? describeMedium(inserted, verbose) : '';
    return { name: device, text: `${title}${describeInserted(inserted)}${describeDevice(info)}${medium}` };
  });
}

async function describeNodes(context: CommandContext, verbose: boolean): Promise<Described[]> {
  const infos = (await qmp(context, 'query-named-block-nodes')) as Inserted[];
  return infos.map((info) => {
    const name = info['node-name'] ?? '';
    return { name, text: `${name}: ${describeFile(info)}\n${describeMedium(info, verbose)}` };
  });
}

function describeInserted(inserted: Inserted | undefined): string {
  if (!inserted) return ': [not inserted]\n';
  const node = inserted['node-name'];
  return `${node === undefined ? '' : ` (${node})`}: ${describeFile(inserted)}\n`;
}

function describeFile({ file, drv, ro, encrypted }: Inserted): string {
  return `${file} (${drv}${ro ? ', read-only' : ''}${encrypted ? ', encrypted' : ''})`;
}

function describeDevice(info: BlockInfo): string {
  const lines: string[] = [];
  if (info.qdev !== undefined) lines.push(`Attached to:      ${info.qdev}`);
  const status = info['io-status'];
  if (status !== undefined && status !== 'ok') lines.push(`I/O status:       ${status}`);
  if (info.removable) {
    lines.push(
      `Removable device: ${info.locked ? '' : 'not '}locked, tray ${info.tray_open ? 'open' : 'closed'}`,
    );
  }
  return lines.map(indented).join('');
}

const limits = [
  'bps',
  'bps_rd',
  'bps_wr',
  'bps_max',
  'bps_rd_max',
  'bps_wr_max',
  'iops',
  'iops_rd',
  'iops_wr',
  'iops_max',
  'iops_rd_max',
  'iops_wr_max',
  'iops_size',
] as const;

function describeMedium(info: Inserted, verbose: boolean): string {
  const { writeback, direct, 'no-flush': noFlush } = info.cache;
  const cache = `Cache mode:       ${writeback ? 'writeback' : 'writethrough'}${direct ? ', direct' : ''}${noFlush ? ', ignore flushes' : ''}`;
  const lines = [cache];
  if (info.backing_file !== undefined) {
    lines.push(`Backing file:     ${info.backing_file} (chain depth: ${info.backing_file_depth})`);
  }
  if (info.detect_zeroes !== 'off') lines.push(`Detect zeroes:    ${info.detect_zeroes}`);
  if (['bps', 'bps_rd', 'bps_wr', 'iops', 'iops_rd', 'iops_wr'].some((name) => Number(info[name] ?? 0) > 0)) {
    const values = limits.map((name) => `${name}=${String(info[name] ?? 0)}`);
    lines.push(`I/O throttling:   ${values.join(' ')} group=${String(info['group'] ?? '')}`);
  }
  return lines.map(indented).join('') + (verbose ? `\nImages:\n${describeImages(info.image)}` : '');
}

function describeImages(image: Inserted['image']): string {
  let text = '';
  for (let at: ImageInfo | undefined = image; at; at = (at as Inserted['image'])['backing-image'])
    text += humanInfo(at);
  return text;
}

const indented = (line: string): string => `    ${line}\n`;

async function infoBlockstats(context: CommandContext): Promise<string> {
  const all = (await qmp(context, 'query-blockstats')) as { device: string; stats: Record<string, number> }[];
  const shown = [
    'rd_bytes',
    'wr_bytes',
    'rd_operations',
    'wr_operations',
    'flush_operations',
    'wr_total_time_ns',
    'rd_total_time_ns',
    'flush_total_time_ns',
    'rd_merged',
    'wr_merged',
    'idle_time_ns',
  ];
  return all
    .filter(({ device }) => device !== '')
    .map(
      ({ device, stats }) => `${device}: ${shown.map((name) => `${name}=${stats[name] ?? 0}`).join(' ')}\n`,
    )
    .join('');
}

interface JobInfo {
  type: string;
  device: string;
  len: number;
  offset: number;
  speed: number;
  'x-cbw'?: SavingInfo;
  'x-store'?: StoredInfo;
}

/** What a backup into a repository has done so far, in bytes. */
interface StoredInfo {
  'new-bytes': number;
  'reused-bytes': number;
  'stored-bytes': number;
}

/** How the copies of a backup go that guests' writes wait for. */
interface SavingInfo {
  fill?: { 'buffer-size': number; buffered: number; 'spill-size': number; spilled: number };
  'guest-waits': number;
  'wait-p50-ns': number;
  'wait-p99-ns': number;
  'wait-max-ns': number;
}

async function infoBlockJobs(context: CommandContext): Promise<string> {
  const jobs = (await qmp(context, 'query-block-jobs')) as JobInfo[];
  if (jobs.length === 0) return 'No active jobs\n';
  return jobs
    .map(({ type, device, len, offset, speed, 'x-cbw': saving, 'x-store': stored }) => {
      const what = type === 'stream' ? `Streaming device ${device}` : `Type ${type}, device ${device}`;
      const line = `${what}: Completed ${offset} of ${len} bytes, speed limit ${speed} bytes/s\n`;
      const more = [...(saving ? describeSaving(saving) : []), ...(stored ? [describeStored(stored)] : [])];
      return line + more.map(indented).join('');
    })
    .join('');
}

function describeStored(stored: StoredInfo): string {
  const { 'new-bytes': isNew, 'reused-bytes': reused, 'stored-bytes': written } = stored;
  return `Repository:       ${isNew} bytes new, ${reused} bytes known, ${written} bytes stored`;
}

function describeSaving({ fill, ...waits }: SavingInfo): string[] {
  const ms = (ns: number): string => `${(ns / 1e6).toFixed(3)} ms`;
  const lines: string[] = [];
  if (fill) {
    const spill =
      fill['spill-size'] > 0 ? `, ${fill.spilled} of ${fill['spill-size']} bytes in the spill file` : '';
    lines.push(`Old data:         ${fill.buffered} of ${fill['buffer-size']} bytes in memory${spill}`);
  }
  const times = [waits['wait-p50-ns'], waits['wait-p99-ns'], waits['wait-max-ns']].map(ms);
  lines.push(
    `Guest's waits:    ${waits['guest-waits']}, median ${times[0]}, 99 % ${times[1]}, longest ${times[2]}`,
  );
  return lines;
}

async function infoStatus(context: CommandContext): Promise<string> {
  const { running, status } = (await qmp(context, 'query-status')) as { running: boolean; status: string };
  const why = running || status === 'paused' ? '' : ` (${status})`;
  return `VM status: ${running ? 'running' : 'paused'}${why}\n`;
}

async function infoName(context: CommandContext): Promise<string> {
  const { name } = (await qmp(context, 'query-name')) as { name?: string };
  return name === undefined ? '' : `${name}\n`;
}

async function infoVersion(context: CommandContext): Promise<string> {
  const { qemu, package: pkg } = (await qmp(context, 'query-version')) as {
    qemu: { major: number; minor: number; micro: number };
    package: string;
  };
  return `${qemu.major}.${qemu.minor}.${qemu.micro}${pkg}\n`;
}

async function infoUuid(context: CommandContext): Promise<string> {
  return `${((await qmp(context, 'query-uuid')) as { UUID: string }).UUID}\n`;
}

export const infoCommands: readonly HmpCommand[] = [
  {
    name: 'info block',
    parameters: [flag('n', 'nodes'), flag('v', 'verbose'), { ...device, optional: true }],
    usage: '[-n] [-v] [device]',
    help: 'show info of one block device or all block devices (-n: show named nodes; -v: show details)',
    run: infoBlock,
  },
  { name: 'info block-jobs', help: 'show progress of ongoing block device operations', run: infoBlockJobs },
  { name: 'info blockstats', help: 'show block device statistics', run: infoBlockstats },
  { name: 'info name', help: 'show the current VM name', run: infoName },
  { name: 'info status', help: 'show the current VM status (running|paused)', run: infoStatus },
  { name: 'info uuid', help: 'show the current VM UUID', run: infoUuid },
  { name: 'info version', help: 'show the version of QEMU', run: infoVersion },
];
