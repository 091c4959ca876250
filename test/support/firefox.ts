/** Debian's Firefox, which nothing drives: it opens a page, and the page reports to its server. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { PageServer } from './page-server.ts';
import { requireAll } from './tools.ts';

const firefoxPath = '/usr/bin/firefox-esr';

export const haveFirefox = existsSync(firefoxPath);
if (!haveFirefox && requireAll) throw new Error(`REQUIRE_ALL=1, but ${firefoxPath} is not installed`);

/** Whose pages send what they have found, as the body of a POST to any address. */
export class ReportServer extends PageServer {
  private report: (body: Buffer) => void = () => {};
  readonly whenReported = new Promise<Buffer>((resolve) => {
    this.report = resolve;
  });

  protected override answer(request: IncomingMessage, response: ServerResponse): void {
    if (request.method !== 'POST') {
      super.answer(request, response);
      return;
    }
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      response.end();
      this.report(Buffer.concat(parts));
    });
  }
}

/** `profile`: a folder that is made. Gives what closes it. */
export function openInFirefox(url: string, profile: string): () => Promise<void> {
  mkdirSync(profile);
  const browser = spawn(firefoxPath, ['--headless', '--no-remote', '--profile', profile, url], {
    env: { ...process.env, HOME: profile },
    stdio: 'ignore',
  });
  const ended = once(browser, 'exit');
  return async () => {
    browser.kill();
    await ended;
  };
}
