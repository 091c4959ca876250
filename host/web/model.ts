/**
 * What the page shows of the block layer: asked for at a fixed pace, at once after events that change it, and kept for the
 * plots. Whoever draws subscribes; it is told at most once per frame.
 */
import type {
  BitmapInfo,
  BitmapMap,
  DeviceInfo,
  FailureInfo,
  GraphInfo,
  JobInfo,
  Monitor,
  MonitorEvent,
  NodeInfo,
  StatsInfo,
} from './answers.ts';
import { type DiskTrouble, Troubles } from './troubles.ts';

const paceMs = 500;
/** Samples that the plots show: one minute. */
const keptSamples = 120;
const shownPieces = 512;
const keptEvents = 200;

/** One point of the plots. Latencies are means over the interval, in microseconds; undefined when there was no request. */
export interface Sample {
  readonly seconds: number;
  readonly readIops: number;
  readonly writeIops: number;
  readonly readMicroseconds: number | undefined;
  readonly writeMicroseconds: number | undefined;
  /** Whether a job ran. */
  readonly busy: boolean;
}

export interface JobRow extends JobInfo {
  readonly bytesPerSecond: number;
  readonly speed: number;
}

export interface BitmapRow extends BitmapInfo {
  readonly node: string;
  readonly title: string;
  readonly length: number;
  readonly map: BitmapMap | undefined;
}

/** A machine, or disks alone, that the disks hold under a name. */
export interface SavedRow {
  readonly name: string;
  readonly savedAt: Date;
  /** Of memory and devices, in bytes; 0: of the disks alone. */
  readonly stateBytes: number;
}

interface Totals {
  atMs: number;
  reads: number;
  writes: number;
  readNs: number;
  writeNs: number;
}

export class Model {
  status = 'prelaunch';
  devices: readonly DeviceInfo[] = [];
  failures: readonly FailureInfo[] = [];
  nodes: readonly NodeInfo[] = [];
  graph: GraphInfo = { nodes: [], edges: [] };
  jobs: readonly JobRow[] = [];
  bitmaps: readonly BitmapRow[] = [];
  /** Oldest first. */
  saved: readonly SavedRow[] = [];
  samples: readonly Sample[] = [];
  readonly events: MonitorEvent[] = [];
  private readonly troubles = new Troubles();
  private readonly listeners = new Set<() => void>();
  private before: Totals | undefined;
  private progress = new Map<string, { atMs: number; bytes: number; rate: number }>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isDrawing = false;
  private isRefreshing = false;
  private isClosed = false;

  constructor(readonly monitor: Monitor) {
    monitor.onEvent((event) => {
      this.events.push(event);
      this.events.splice(0, this.events.length - keptEvents);
      this.troubles.hear(event, new Date());
      this.changed();
    });
  }

  /** Disks whose servers do not answer as they should, of which the guest knows nothing yet. */
  get diskTroubles(): readonly DiskTrouble[] {
    return this.troubles.ofDisks(this.graph);
  }

  subscribe(listener: () => void): void {
    this.listeners.add(listener);
  }

  start(): void {
    this.isClosed = false;
    void this.tick();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
  }

  /** Asks for everything, now. */
  async refresh(): Promise<void> {
    if (this.isRefreshing || this.isClosed) return;
    this.isRefreshing = true;
    try {
      await this.ask();
    } catch (error) {
      // The worker is on its way out.
      if (!this.isClosed) throw error;
    } finally {
      this.isRefreshing = false;
    }
    this.changed();
  }

  private async tick(): Promise<void> {
    await this.refresh();
    if (!this.isClosed) this.timer = setTimeout(() => void this.tick(), paceMs);
  }

  private changed(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      for (const listener of this.listeners) listener();
    });
  }

  private async ask(): Promise<void> {
    const ask = <T>(command: string, args?: object): Promise<T> =>
      this.monitor.qmp(command, args) as Promise<T>;
    const [status, failures, devices, nodes, graph, jobs, blockJobs, stats] = await Promise.all([
      ask<{ status: string }>('query-status'),
      ask<FailureInfo[]>('x-query-block-failures'),
      ask<DeviceInfo[]>('query-block'),
      ask<NodeInfo[]>('query-named-block-nodes', { flat: true }),
      ask<GraphInfo>('x-debug-query-block-graph'),
      ask<JobInfo[]>('query-jobs'),
      ask<{ device: string; speed: number }[]>('query-block-jobs'),
      ask<StatsInfo[]>('query-blockstats'),
    ]);
    this.status = status.status;
    this.failures = failures;
    this.devices = devices;
    this.nodes = nodes;
    this.graph = graph;
    this.jobs = this.withRates(jobs, blockJobs);
    this.saved = savedOn(nodes);
    this.sample(stats);
    this.bitmaps = await this.mapsOf(nodes);
  }

  private withRates(
    jobs: readonly JobInfo[],
    speeds: readonly { device: string; speed: number }[],
  ): JobRow[] {
    const now = performance.now();
    const progress = new Map<string, { atMs: number; bytes: number; rate: number }>();
    const rows = jobs.map((job) => {
      const bytes = job['current-progress'];
      const last = this.progress.get(job.id);
      const elapsed = last ? (now - last.atMs) / 1000 : 0;
      const measured = last && elapsed > 0 ? Math.max(0, (bytes - last.bytes) / elapsed) : 0;
      const rate = last && last.rate > 0 ? 0.6 * last.rate + 0.4 * measured : measured;
      progress.set(job.id, { atMs: now, bytes, rate });
      const speed = speeds.find(({ device }) => device === job.id)?.speed ?? 0;
      return { ...job, bytesPerSecond: rate, speed };
    });
    this.progress = progress;
    return rows.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  private sample(stats: readonly StatsInfo[]): void {
    type Counter = Exclude<keyof StatsInfo['stats'], `${string}_histogram`>;
    const sum = (member: Counter): number =>
      stats.reduce((total, { stats }) => total + (stats[member] ?? 0), 0);
    const now: Totals = {
      atMs: performance.now(),
      reads: sum('rd_operations'),
      writes: sum('wr_operations'),
      readNs: sum('rd_total_time_ns'),
      writeNs: sum('wr_total_time_ns'),
    };
    const { before } = this;
    this.before = now;
    if (!before) return;
    const seconds = (now.atMs - before.atMs) / 1000;
    const [reads, writes] = [now.reads - before.reads, now.writes - before.writes];
    const mean = (ns: number, count: number): number | undefined =>
      count > 0 ? ns / count / 1000 : undefined;
    const sample: Sample = {
      seconds: now.atMs / 1000,
      readIops: Math.max(0, reads / seconds),
      writeIops: Math.max(0, writes / seconds),
      readMicroseconds: mean(now.readNs - before.readNs, reads),
      writeMicroseconds: mean(now.writeNs - before.writeNs, writes),
      busy: this.jobs.some(({ status }) => ['running', 'ready', 'paused', 'standby'].includes(status)),
    };
    this.samples = [...this.samples, sample].slice(-keptSamples);
  }

  /** Only bitmaps with names can be asked for. One that goes meanwhile has no map. */
  private async mapsOf(nodes: readonly NodeInfo[]): Promise<BitmapRow[]> {
    const found = nodes.flatMap((node) =>
      (node['dirty-bitmaps'] ?? []).filter(({ name }) => name).map((bitmap) => ({ node, bitmap })),
    );
    const rows = await Promise.all(
      found.map(async ({ node, bitmap }) => {
        const name = bitmap.name!; // only those with a name
        const place = { node: node['node-name'], name };
        let map: BitmapMap | undefined;
        try {
          map = (await this.monitor.qmp('x-block-dirty-bitmap-map', {
            ...place,
            pieces: shownPieces,
          })) as BitmapMap;
        } catch {
          map = undefined;
        }
        const length = node.image['virtual-size'];
        return { ...bitmap, node: place.node, title: `${place.node} / ${name}`, length, map };
      }),
    );
    return rows.sort((a, b) => (a.title < b.title ? -1 : 1));
  }
}

/** What the disks hold that the machine writes: one has the memory, and each has a snapshot of the name. */
function savedOn(nodes: readonly NodeInfo[]): SavedRow[] {
  const rows = new Map<string, SavedRow>();
  for (const { image } of nodes.filter(({ ro }) => !ro)) {
    for (const { name, 'vm-state-size': bytes, 'date-sec': seconds } of image.snapshots ?? []) {
      const stateBytes = Math.max(bytes, rows.get(name)?.stateBytes ?? 0);
      rows.set(name, { name, stateBytes, savedAt: new Date(seconds * 1000) });
    }
  }
  return [...rows.values()].sort((a, b) => a.savedAt.getTime() - b.savedAt.getTime());
}
