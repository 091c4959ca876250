/**
 * Machines in the page, for tests that look at what their guests show: a server and a browser for the file, and a page, which is one for
 * all its tests or another one for each.
 */
import type { BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { launchChromium } from './chromium.ts';
import { PageServer } from './page-server.ts';
import { findInPage } from './page-site.ts';
import { scratchDirectory } from './scratch.ts';

interface Served {
  /** Of the page, without a slash at the end. */
  readonly base: string;
  stop(): Promise<unknown>;
}

const patient = { timeout: 30_000 };

export class MachinePage<Server extends Served = Served> {
  private started: Server | undefined;
  private browser: BrowserContext | undefined;
  private current: Page | undefined;

  /** To be made inside `describe`. */
  constructor(start: () => Promise<Server>, pages: 'one' | 'for each test') {
    const scratch = scratchDirectory();
    const open = async (): Promise<void> => {
      this.current = await this.context.newPage();
    };
    beforeAll(async () => {
      this.started = await start();
      this.browser = await launchChromium(scratch('profile'));
      if (pages === 'one') await open();
    }, 60_000);
    afterAll(async () => {
      await this.browser?.close();
      await this.started?.stop();
    });
    if (pages === 'one') return;
    beforeEach(open);
    afterEach(() => this.page.close());
  }

  get server(): Server {
    return this.started!; // hooks run before tests do
  }

  get context(): BrowserContext {
    return this.browser!; // hooks run before tests do
  }

  get page(): Page {
    return this.current!; // hooks run before tests do
  }

  /** Settles when a machine can be chosen. */
  async load(link = ''): Promise<void> {
    await this.page.goto(`${this.server.base}/${link}`);
    await this.page.waitForSelector('button[type=submit]', patient);
  }

  screen(): Promise<string> {
    return this.page.locator('#pane-screen').innerText(patient);
  }

  /** Starts what is chosen, and waits for what the guest says. */
  async start(expected: string): Promise<void> {
    await this.page.click('button[type=submit]');
    await expect.poll(() => this.screen(), patient).toContain(expected);
  }
}

/** A server of the page in this process; `images` are asked for whenever one is read. */
export async function servePage(
  images: () => ReadonlyMap<string, Uint8Array>,
): Promise<Served & { readonly pageServer: PageServer }> {
  const pageServer = new PageServer();
  pageServer.find = (path) => findInPage(path, images());
  const base = await pageServer.start();
  return { base, pageServer, stop: () => pageServer.stop() };
}
