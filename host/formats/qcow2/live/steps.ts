/**
 * What the parts of an engine know of it (engine.ts): the core and the file, and how a step is run that may have to
 * wait.
 */
import type { Edge } from '../../../block/edge.ts';
import type { Qcow2Core, TableRoom } from '../../../core/qcow2.ts';
import type { Qcow2Header } from '../disk/header.ts';
import type { HeaderChanges } from '../disk/header-update.ts';
import type { ResolvedOptions } from '../options.ts';
import type { ImageCorruption } from './corruption.ts';

export interface StepRunner {
  readonly core: Qcow2Core;
  readonly file: Edge;
  readonly options: ResolvedOptions;
  readonly header: Qcow2Header;
  readonly corruption: ImageCorruption;
  /** For those who watch. */
  readonly nodeName: string;
  /**
   * Runs `attempt` until it gives something else than a code, doing meanwhile what its wait codes ask for. `code`: what it
   * has just given, in place of the first attempt.
   */
  run<T extends object>(attempt: () => T | number, code?: number): Promise<T>;
  /** The same for steps whose code says everything. */
  runCode(step: () => number): Promise<number>;
  /** Calls into the core once; a trap there makes the image unusable. */
  guarded<T>(step: () => T): T;
  /** What to throw for an error code. Fatal corruption is marked in the image by then. */
  stepError(code: number): Promise<Error>;
  /** Makes room for tables of so many entries, or as many as they may have: before they grow. */
  makeRoom(entries: TableRoom): Promise<void>;
  updateHeader(changes: HeaderChanges): Promise<void>;
}
