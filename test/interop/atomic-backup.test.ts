/**
 * Atomicity under load on real files: two backups of one transaction show one instant while a writer goes on. Where
 * QEMU is installed it must find nothing wrong with them.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { backUpUnderLoad, choosePlan } from '../support/linked-backup.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu } from '../support/tools.ts';

const runs = 20;
const recordAreaBytes = 8 << 20;
const path = scratchDirectory();
const platform: Platform = {
  ...nodePlatform,
  console: { ...nodePlatform.console, stdout: () => {}, stderr: () => {} },
};

for (let seed = 1; seed <= runs; seed++) {
  it(`two backups on real files show one instant: seed ${seed}`, async () => {
    const random = new Seeded(seed);
    const plan = choosePlan(random, recordAreaBytes);
    const folder = path(`${seed}/`);
    mkdirSync(folder);
    const { records, violations, written } = await backUpUnderLoad(platform, folder, plan, random);
    const what = JSON.stringify(plan);
    expect(violations, what).toEqual([]);
    expect(records[0], what).toBeGreaterThanOrEqual(written.before);
    // The record that was on its way when the answer came may be part of the instant.
    expect(records[0], what).toBeLessThanOrEqual(written.answered + 1);
    expect(written.end, what).toBeGreaterThan(written.answered);
    if (haveQemu && plan.target.format === 'qcow2') {
      for (const name of ['A', 'B']) {
        const check = spawnSync('qemu-img', ['check', '-q', `${folder}backup-${name}`], { encoding: 'utf8' });
        expect(check, what).toMatchObject({ status: 0, stdout: '', stderr: '' });
      }
    }
  });
}
