/** Chromium as a process group of its own, that can be killed with everything in it at any time. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Page } from 'playwright';
import { chromiumPath } from './chromium.ts';

export interface KillableChromium {
  /** A new tab. */
  newPage(): Promise<Page>;
  /** SIGKILL to all its processes; settles when they are gone. */
  kill(): Promise<void>;
}

export async function startKillable(profile: string): Promise<KillableChromium> {
  const args = ['--headless=new', '--no-sandbox', '--no-first-run', '--remote-debugging-port=0'];
  const child = spawn(chromiumPath, [...args, `--user-data-dir=${profile}`, 'about:blank'], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    process.kill(-child.pid!, 'SIGKILL'); // it was started
    await ended;
  };
  try {
    const endpoint = await debuggerOf(child);
    const { chromium } = await import('playwright');
    const browser = await chromium.connectOverCDP(endpoint);
    return { newPage: () => browser.contexts()[0]!.newPage(), kill }; // its default one
  } catch (error) {
    await kill();
    throw error;
  }
}

/** It prints where it listens. */
async function debuggerOf({ stderr }: ChildProcess): Promise<string> {
  let text = '';
  for await (const part of stderr!.iterator({ destroyOnReturn: false })) {
    text += part;
    const found = /DevTools listening on (\S+)/.exec(text)?.[1];
    if (found === undefined) continue;
    stderr!.resume();
    return found;
  }
  throw new Error(`Chromium did not start: ${text}`);
}
