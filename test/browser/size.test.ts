/** How large the library for pages is, compressed: what is on the way before a guest's first request. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');

test('the library for pages is at most 150 KiB, gzipped', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [resolve(root, 'host/build/size.mjs')], {
    encoding: 'utf8',
  });
  console.log(stdout);
  expect(stderr).toBe('');
  expect(stdout).toMatch(/ parts\/worker\.js$/m);
  expect(status).toBe(0);
});
