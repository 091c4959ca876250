/** `blockyard web` in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { bundle } from './cli.ts';

/** A server that is started as users start it, and ends when it is told to. */
export class WebServer {
  private constructor(
    private readonly child: ChildProcess,
    readonly base: string,
  ) {}

  static async start(...argv: string[]): Promise<WebServer> {
    const child = spawn(process.execPath, [bundle, 'web', '--port', '0', ...argv], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    for await (const chunk of child.stdout!) {
      text += String(chunk);
      const base = /at (http:\S+)\//.exec(text)?.[1];
      if (base !== undefined) return new WebServer(child, base);
    }
    throw new Error(`the server has ended: ${text}`);
  }

  /** Gives its exit status. */
  async stop(): Promise<number | null> {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    return ((await ended) as [number | null])[0];
  }
}
