/**
 * Bringing an image into the one below and emptying it, while its users go on: the human monitor's `commit` (specification: jobs,
 * section 9).
 *
 * An image is emptied only when everything in it is in the base. What is written in the moment between the two is not, and then
 * another round brings that: so many rounds are made, and after the last one the image keeps what it holds, which is harmless.
 */
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { commitAndWait } from './commit-and-wait.ts';

const maxRounds = 16;

interface CommitRequest {
  /** Of the job. */
  id: string;
  top: BlockNode;
  /** The next image below. */
  base: BlockNode;
}

/** Errors: those of commitAndWait, and of emptying: of I/O. */
export async function commitAndEmpty(graph: BlockGraph, request: CommitRequest): Promise<void> {
  const image = request.top.skipFilters();
  let wasWritten = false;
  const observer = {
    onWrite: () => {
      wasWritten = true;
    },
  };
  const watch = (): void => {
    wasWritten = false;
    image.writeObservers.add(observer);
  };
  try {
    for (let round = 0; round < maxRounds; round++) {
      await commitAndWait(graph, { ...request, ready: watch });
      await image.drainBegin();
      try {
        if (wasWritten) continue;
        await image.driver.makeEmpty?.();
        return;
      } finally {
        image.drainEnd();
      }
    }
  } finally {
    image.writeObservers.delete(observer);
  }
}
