/** What the page reads of the monitor's answers: the members it shows, no more. */
import type { FaultReason } from '../base/errors.ts';

export interface Monitor {
  /** Errors: those of the command, as Error with its description. */
  qmp(command: string, args?: object): Promise<unknown>;
  onEvent(listener: (event: MonitorEvent) => void): void;
}

export interface MonitorEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
}

export interface BitmapInfo {
  readonly name?: string;
  readonly count: number;
  readonly granularity: number;
  readonly recording: boolean;
  readonly busy: boolean;
  readonly persistent: boolean;
  readonly inconsistent?: boolean;
}

/** An internal snapshot: of a disk alone, or with the state of a machine. */
interface SnapshotInfo {
  readonly name: string;
  /** 0: there is none. */
  readonly 'vm-state-size': number;
  readonly 'date-sec': number;
}

export interface NodeInfo {
  readonly 'node-name': string;
  readonly drv: string;
  readonly ro: boolean;
  readonly file: string;
  readonly image: {
    readonly 'virtual-size': number;
    readonly 'actual-size'?: number;
    readonly snapshots?: readonly SnapshotInfo[];
  };
  readonly 'dirty-bitmaps'?: readonly BitmapInfo[];
}

export interface DeviceInfo {
  readonly device: string;
  readonly qdev?: string;
  readonly 'io-status'?: string;
  readonly inserted?: NodeInfo &
    Readonly<Record<'iops' | 'iops_rd' | 'iops_wr' | 'bps' | 'bps_rd' | 'bps_wr', number>>;
}

/** A request of the guest that has failed. */
export interface FailureInfo {
  readonly device: string;
  readonly qdev?: string;
  readonly 'node-name'?: string;
  readonly operation: 'read' | 'write';
  readonly action: 'report' | 'ignore' | 'stop';
  readonly nospace: boolean;
  readonly reason?: FaultReason;
  readonly message: string;
}

export interface GraphInfo {
  readonly nodes: readonly {
    readonly id: number;
    readonly type: 'block-backend' | 'block-job' | 'block-driver';
    readonly name: string;
  }[];
  readonly edges: readonly { readonly parent: number; readonly child: number; readonly name: string }[];
}

export interface JobInfo {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly 'current-progress': number;
  readonly 'total-progress': number;
  readonly error?: string;
}

export interface StatsInfo {
  readonly device: string;
  readonly qdev?: string;
  readonly 'node-name'?: string;
  readonly stats: Readonly<
    Record<
      | 'rd_operations'
      | 'wr_operations'
      | 'rd_bytes'
      | 'wr_bytes'
      | 'rd_total_time_ns'
      | 'wr_total_time_ns'
      | 'failed_rd_operations'
      | 'failed_wr_operations',
      number
    > &
      Record<`${'rd' | 'wr' | 'flush'}_latency_histogram`, { readonly bins: readonly number[] } | undefined>
  >;
}

export interface BitmapMap {
  readonly length: number;
  readonly piece: number;
  readonly dirty: readonly number[];
}
