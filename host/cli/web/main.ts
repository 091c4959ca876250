/**
 * `blockyard web`: serves the page, what it needs of v86, and disk images for it, to browsers on this machine.
 *
 * Images are served read-only and by ranges, each under the name it was given; nothing else of their folders is. Whoever can
 * reach the port can read them, so it is opened on the loopback address unless told otherwise. Who may ask is for
 * `allowed-hosts.ts` to say, what there is for `site.ts`, and how long anybody is waited for for `server.ts`.
 */
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createDeferred } from '../../base/deferred.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { fileExists } from '../../platform/node/file-exists.ts';
import { type Daemon, runDaemon } from '../shared/daemon.ts';
import { ExitStatus } from '../shared/exit-status.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { openAddresses } from './addresses.ts';
import { AllowedHosts, hostNamed } from './allowed-hosts.ts';
import type { Identity } from './certificate.ts';
import { openBrowser } from './open-browser.ts';
import { type Options, readOptions } from './options.ts';
import { createSiteServer } from './server.ts';
import { Site, type SiteFolder } from './site.ts';
import { fingerprintOf, identityFor } from './tls.ts';

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, async () => runDaemon(tool, new SiteProgram(tool, await readOptions(tool, argv))));
}

class SiteProgram implements Daemon {
  private readonly server: Server;
  private readonly identity: Identity | undefined;
  private readonly ended = createDeferred();

  constructor(
    private readonly tool: Tool,
    private readonly options: Options,
  ) {
    const { images, bios, vgaBios, tls } = options;
    this.identity = tls && identityFor(tool, tls);
    const folders = new Map<string, SiteFolder>([
      ['browser', builtFolder(tool, 'browser')],
      ['v86', { path: v86Folder(tool) }],
    ]);
    this.server = createSiteServer({
      site: new Site({ page: builtFolder(tool, 'web'), folders, images, bios, vgaBios }),
      allowedHosts: new AllowedHosts([...options.allowedHosts, ...listenedOn(options)]),
      report: (message) => tool.report(message),
      ...withoutUndefined({ identity: this.identity }),
    });
  }

  get whenEnded(): Promise<void> {
    return this.ended.promise;
  }

  async start(): Promise<void> {
    await listen(this.tool, this.server, this.options);
    const { tool, options, identity } = this;
    const bound = this.server.address() as AddressInfo; // it listens
    const { here, elsewhere } = openAddresses(identity ? 'https' : 'http', bound);
    tool.out(`blockyard is at ${here}/\n`);
    for (const url of elsewhere) tool.out(`          and at ${url}/\n`);
    if (!identity && elsewhere.length > 0) {
      tool.out(
        'There it cannot keep disks: browsers let pages do that by https, or of localhost. See --tls\n',
      );
    }
    if (identity && options.tls?.type === 'made') {
      tool.out(
        `Its certificate was made now, and browsers ask about it: SHA-256 ${fingerprintOf(identity)}\n`,
      );
    }
    if (options.opens) openBrowser(`${here}/`, (message) => tool.warn(message));
  }

  async stop(): Promise<void> {
    this.ended.resolve();
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
  }
}

function listenedOn({ host }: Options): string[] {
  const name = hostNamed(host);
  return name === undefined ? [] : [name];
}

function listen(tool: Tool, server: Server, { host, port }: Options): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      tool.report(`cannot listen on ${host}:${port}: ${error.message}`);
      reject(new ExitStatus(1));
    };
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      // A connection that could not be accepted.
      server.on('error', ({ message }) => tool.report(message));
      resolve();
    });
  });
}

/** A folder of the build: beside the bundle that runs, or below it when that is a chunk. */
function builtFolder(tool: Tool, name: string): SiteFolder {
  const here = dirname(fileURLToPath(import.meta.url));
  const found = [here, dirname(here)].map((folder) => join(folder, name)).find(fileExists);
  if (found === undefined) tool.fail(`the page is not there: '${join(here, name)}' does not exist`);
  return { path: found, compressed: join(dirname(found), 'compressed', name) };
}

function v86Folder(tool: Tool): string {
  try {
    const require = createRequire(import.meta.url);
    const manifest = require.resolve('v86/package.json');
    readFileSync(manifest);
    return join(dirname(manifest), 'build');
  } catch {
    return tool.fail("the package 'v86' is not installed: npm install v86");
  }
}
