/** Debian's Firefox, which nothing drives: it opens a page, and the page reports to its server. */
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { PageServer } from './page-server.ts';
import { requireAll } from './tools.ts';

const firefoxPath = '/usr/bin/firefox-esr';

export const haveFirefox = existsSync(firefoxPath);
if (!haveFirefox && requireAll) throw new Error(`REQUIRE_ALL=1, but ${firefoxPath} is not installed`);

/** Whose pages send what they have found, as the body of a POST to any address. */
export class ReportServer extends PageServer {
  private report: (body: Buffer) => void = () => {};
  /** Settles with the first report. */
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

interface FirefoxSettings {
  /** A server's certificate (PEM) that is trusted although nobody vouches for it. */
  readonly trusted?: string;
  /** Where downloads go, without a question. */
  readonly downloads?: string;
}

/** `profile`: a folder that is made. Gives what closes it. */
export function openInFirefox(
  url: string,
  profile: string,
  { trusted, downloads }: FirefoxSettings = {},
): () => Promise<void> {
  mkdirSync(profile);
  if (trusted !== undefined) {
    const { fingerprint256 } = new X509Certificate(trusted);
    const sha256 = 'OID.2.16.840.1.101.3.4.2.1';
    writeFileSync(
      join(profile, 'cert_override.txt'),
      `${new URL(url).host}:\t${sha256}\t${fingerprint256}\t\n`,
    );
  }
  if (downloads !== undefined) {
    const preferences = { 'browser.download.folderList': 2, 'browser.download.dir': downloads };
    const lines = Object.entries(preferences).map(
      (entry) => `user_pref(${JSON.stringify(entry).slice(1, -1)});\n`,
    );
    writeFileSync(join(profile, 'user.js'), lines.join(''));
  }
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
