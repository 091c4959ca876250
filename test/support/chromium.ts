/** Debian's Chromium, driven by Playwright, with a profile of its own: private windows have slow storage. */
import { existsSync } from 'node:fs';
import { requireAll } from './tools.ts';

export const chromiumPath = '/usr/bin/chromium';

export const haveChromium = existsSync(chromiumPath);
if (!haveChromium && requireAll) throw new Error(`REQUIRE_ALL=1, but ${chromiumPath} is not installed`);

/** `profile`: a folder that is made, or was by an earlier one. */
export async function launchChromium(profile: string, ...args: string[]) {
  const { chromium } = await import('playwright');
  return chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath,
    args: ['--no-sandbox', ...args],
    headless: true,
  });
}
