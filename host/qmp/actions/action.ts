/**
 * What an action of a `transaction` is: one file each in this folder, one line each in index.ts.
 *
 * `prepare` does everything that can fail. If all actions prepare, each is committed, which cannot fail; otherwise those
 * prepared so far, the failing one included, are aborted in reverse order. The nodes an action names in `nodes` are
 * drained from before the first prepare until after the last commit, so that all actions see one instant.
 */
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import type { JobRegistry } from '../../jobs/job-registry.ts';
import type { JobTransaction } from '../../jobs/job-transaction.ts';
import type { Machine } from '../../machine/machine.ts';
import type { StructType } from '../../qapi/types.ts';

export interface BlockServices {
  readonly graph: BlockGraph;
  readonly jobs: JobRegistry;
  /** Of a program that has one. */
  readonly machine?: Machine | undefined;
}

export interface ActionContext extends BlockServices {
  /** Shared by the jobs of all actions, with completion-mode grouped. */
  readonly group: JobTransaction | undefined;
}

export interface Action {
  /** Nodes whose present moment the action needs. Unknown names are left for `prepare` to complain about. */
  nodes?(): readonly BlockNode[];
  prepare(): Promise<void>;
  commit?(): void | Promise<void>;
  /** Undoes what `prepare` did, however far it came. */
  abort?(): Promise<void>;
}

export interface ActionDefinition<Data extends object = object> {
  readonly type: string;
  readonly data: StructType<Data>;
  /** Whether it may stand in a transaction with completion-mode grouped. */
  readonly supportsGrouped: boolean;
  create(context: ActionContext, data: Data): Action;
}

export function defineAction<Data extends object>(
  definition: ActionDefinition<Data>,
): ActionDefinition<Data> {
  return definition;
}
