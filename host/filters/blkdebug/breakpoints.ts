/** The breakpoints of a blkdebug node: requests that wait at an event until somebody lets them go. */
import { BlockError } from '../../base/errors.ts';
import { type Breakpoints, type DebugEvent, debugEvents } from '../../block/debug-events.ts';
import type { Console } from '../../platform/platform.ts';

interface HeldRequest {
  tag: string;
  release(): void;
}

export class DebugBreakpoints implements Breakpoints {
  /** Newest first; a breakpoint holds one request and is gone. */
  private awaited: { event: DebugEvent; tag: string }[] = [];
  private held: HeldRequest[] = [];
  private watchers: { tag: string; wake(): void }[] = [];

  constructor(private readonly console: Console) {}

  set(event: string, tag: string): void {
    const known = debugEvents.find((name) => name === event);
    if (!known) throw new BlockError('ENOENT');
    this.awaited.unshift({ event: known, tag });
  }

  remove(tag: string): void {
    const rest = this.awaited.filter((breakpoint) => breakpoint.tag !== tag);
    const found = rest.length < this.awaited.length;
    this.awaited = rest;
    for (const request of this.held.filter((candidate) => candidate.tag === tag)) this.release(request);
    if (!found) throw new BlockError('ENOENT');
  }

  resume(tag: string): void {
    const request = this.held.find((candidate) => candidate.tag === tag);
    if (!request) throw new BlockError('ENOENT');
    this.release(request);
  }

  async whenSuspended(tag: string): Promise<void> {
    if (this.held.some((request) => request.tag === tag)) return;
    await new Promise<void>((wake) => this.watchers.push({ tag, wake }));
  }

  /** Settles when all breakpoints at `event` have let the request go; undefined when there are none. */
  hit(event: DebugEvent): Promise<void> | undefined {
    const here = this.awaited.filter((breakpoint) => breakpoint.event === event);
    if (here.length === 0) return undefined;
    this.awaited = this.awaited.filter((breakpoint) => breakpoint.event !== event);
    return Promise.all(here.map(({ tag }) => this.hold(tag))).then(() => {});
  }

  /** Lets everybody go. */
  close(): void {
    this.awaited = [];
    for (const request of this.held.splice(0)) request.release();
  }

  private hold(tag: string): Promise<void> {
    this.console.stdout(`blkdebug: Suspended request '${tag}'`);
    return new Promise((release) => {
      this.held.push({ tag, release });
      const woken = this.watchers.filter((watcher) => watcher.tag === tag);
      this.watchers = this.watchers.filter((watcher) => watcher.tag !== tag);
      for (const { wake } of woken) wake();
    });
  }

  private release(request: HeldRequest): void {
    this.console.stdout(`blkdebug: Resuming request '${request.tag}'`);
    this.held = this.held.filter((other) => other !== request);
    request.release();
  }
}
