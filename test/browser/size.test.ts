/** How large the library for pages is, compressed: what is on the way before a guest's first request. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

const folder = resolve(import.meta.dirname, '../../dist/browser');
const maxBytes = 150 * 1024;

test.skipIf(!existsSync(folder))('the library for pages is at most 150 KiB, gzipped', () => {
  const bytes = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js') && !/\b(pako|zstd)\b/.test(name))
    .reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name)), { level: 9 }).length, 0);
  console.log(`blockyard/browser: ${(bytes / 1024).toFixed(1)} KiB gzipped`);
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(maxBytes);
});
