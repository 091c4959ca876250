/**
 * break, remove_break, resume and wait_break: requests that are held where a format comes to a debug event
 * (specification: graph, section 4; cli, section 4). The node that holds them is the first below the image that can.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import type { Breakpoints } from '../../block/debug-events.ts';
import type { BlockNode } from '../../block/node.ts';
import { complain, type IoCommand } from './command.ts';
import type { Session } from './session.ts';

/** Throws ENOTSUP where nobody listens to debug events. */
function breakpointsOf({ backend }: Session): Breakpoints {
  let node: BlockNode | undefined = backend.node;
  while (node && !node.driver.breakpoints) node = (node.primaryChild() ?? node.chainEdge())?.node;
  if (!node?.driver.breakpoints) throw new BlockError('ENOTSUP');
  return node.driver.breakpoints;
}

async function attempt(
  session: Session,
  failure: string,
  act: (breakpoints: Breakpoints) => void | Promise<void>,
): Promise<void> {
  try {
    await act(breakpointsOf(session));
  } catch (error) {
    complain(session, `${failure}: ${asBlockError(error).message}`);
  }
  // What was let go may end before the next command begins.
  await session.graph.platform.clock.yield();
}

export const breakAt: IoCommand = {
  name: 'break',
  args: { min: 2, max: 2 },
  synopsis: 'event tag',
  help: 'sets a breakpoint on event and tags the stopped request as tag',
  run: (session, [event, tag]) =>
    attempt(session, 'Could not set breakpoint', (breakpoints) => breakpoints.set(event!, tag!)), // `args` says so
};

export const removeBreak: IoCommand = {
  name: 'remove_break',
  args: { min: 1, max: 1 },
  synopsis: 'tag',
  help: 'remove a breakpoint by tag',
  run: (session, [tag]) =>
    attempt(session, `Could not remove breakpoint ${tag}`, (breakpoints) => breakpoints.remove(tag!)), // `args` says so
};

export const resume: IoCommand = {
  name: 'resume',
  args: { min: 1, max: 1 },
  synopsis: 'tag',
  help: 'resumes the request tagged as tag',
  run: (session, [tag]) =>
    attempt(session, 'Could not resume request', (breakpoints) => breakpoints.resume(tag!)), // `args` says so
};

export const waitBreak: IoCommand = {
  name: 'wait_break',
  args: { min: 1, max: 1 },
  synopsis: 'tag',
  help: 'waits for the suspension of a request',
  run: (session, [tag]) =>
    attempt(
      session,
      `Could not wait for breakpoint ${tag}`,
      (breakpoints) => breakpoints.whenSuspended(tag!), // `args` says so
    ),
};
