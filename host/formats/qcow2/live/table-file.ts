/**
 * Tables of metadata between memory and the image file, and the barriers between their writes. A debug filter below
 * (block/debug-events.ts) and whoever watches (trace/events.ts) are told here; what is read and written when, engine.ts says.
 */
import type { Edge } from '../../../block/edge.ts';
import { coreNeed, qcow2Barrier, qcow2WriteBack } from '../../../trace/events.ts';
import { measure } from '../../../trace/measure.ts';

/** What is told before a table is loaded, by its kind. */
const loadEvents = { block: 'refblock_load', l2: 'l2_load' } as const;

/** What is told before a changed table is written, by its kind. */
const updateEvents = {
  block: 'refblock_update_part',
  refcountTable: 'reftable_update',
  l2: 'l2_update',
  l1: 'l1_update',
} as const;

export class TableFile {
  constructor(
    private readonly file: Edge,
    /** Of the image. */
    private readonly node: string,
  ) {}

  /** Fills `table` from `offset`: the core needs it. */
  async load(kind: keyof typeof loadEvents, offset: number, table: Uint8Array): Promise<void> {
    if (coreNeed.enabled) coreNeed.emit({ node: this.node, offset, bytes: table.length });
    if (this.file.debugged) await this.file.debugEvent(loadEvents[kind]);
    await this.file.read(offset, table);
  }

  async writeBack(table: keyof typeof updateEvents, offset: number, content: Uint8Array): Promise<void> {
    if (this.file.debugged) await this.file.debugEvent(updateEvents[table]);
    const told = { node: this.node, table, offset, bytes: content.length };
    await measure(qcow2WriteBack, told, () => this.file.write(offset, content));
  }

  /** What was written before is durable when it settles. */
  barrier(): Promise<void> {
    return measure(qcow2Barrier, { node: this.node }, () => this.file.flush());
  }
}
