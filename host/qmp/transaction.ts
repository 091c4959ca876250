/**
 * The transaction engine (specification: transactions, section 1): all actions or none, at one instant.
 *
 * Single commands that are also actions run through here as transactions of one.
 */
import { invalid } from '../base/errors.ts';
import { saveBitmaps } from '../bitmaps/persistence.ts';
import type { BlockNode } from '../block/node.ts';
import { JobTransaction } from '../jobs/job-transaction.ts';
import type { Action, ActionContext, ActionDefinition, BlockServices } from './actions/action.ts';

interface PlannedAction<Data extends object = object> {
  definition: ActionDefinition<Data>;
  data: Data;
}

type CompletionMode = 'individual' | 'grouped';

/** Errors: those of the action that failed first; everything is undone then, but for files it has created. */
export async function runTransaction(
  services: BlockServices,
  planned: readonly PlannedAction[],
  mode: CompletionMode = 'individual',
): Promise<void> {
  const { graph } = services;
  const grouped = mode === 'grouped';
  const context: ActionContext = { ...services, group: grouped ? new JobTransaction() : undefined };
  const ungrouped = grouped && planned.find(({ definition }) => !definition.supportsGrouped);
  if (ungrouped) {
    const { type } = ungrouped.definition;
    throw invalid(`Action '${type}' does not support transaction property completion-mode = grouped`);
  }
  const actions = planned.map(({ definition, data }) => definition.create(context, data));
  // Everything in flight comes to rest once, whatever the actions are about.
  graph.drainAllEnd(await graph.drainAllBegin());
  if (actions.length === 0) return;
  const drained = await drainNodesOf(actions);
  try {
    const prepared: Action[] = [];
    try {
      for (const action of actions) {
        prepared.push(action);
        await action.prepare();
      }
    } catch (error) {
      for (const action of prepared.reverse()) await action.abort?.();
      await saveBitmaps(graph);
      throw error;
    }
    // The last one first, and in that order the nodes go on, as in QEMU 10.
    for (const action of actions.reverse()) await action.commit?.();
    await saveBitmaps(graph);
  } finally {
    for (const node of [...drained].reverse()) node.drainEnd();
  }
}

/** One action on its own: what the command of its name does. */
export async function runAction<Data extends object>(
  services: BlockServices,
  definition: ActionDefinition<Data>,
  data: Data,
): Promise<void> {
  // The engine hands `data` to nothing but this definition.
  await runTransaction(services, [{ definition, data } as unknown as PlannedAction]);
}

/** One action that needs no instant: commands about bitmaps do not bring anything to rest. */
export async function runDirectly<Data extends object>(
  services: BlockServices,
  definition: ActionDefinition<Data>,
  data: Data,
): Promise<void> {
  const action = definition.create({ ...services, group: undefined }, data);
  try {
    await action.prepare();
  } catch (error) {
    await action.abort?.();
    await saveBitmaps(services.graph);
    throw error;
  }
  await action.commit?.();
  await saveBitmaps(services.graph);
}

/** All of them are told to be quiet before any is waited for: their last requests finish together. */
async function drainNodesOf(actions: readonly Action[]): Promise<readonly BlockNode[]> {
  const nodes = actions.flatMap((action) => action.nodes?.() ?? []);
  for (const node of nodes) node.drainedBegin();
  for (const node of nodes) await node.whenIdle();
  return nodes;
}
