import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { attachAlone } from '../support/attach.ts';
import { haveQemu } from '../support/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'blockyard-shrink-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.skipIf(!haveQemu)(
  'space that QEMU gave up within a cluster reads as zeros when we take it again',
  async () => {
    const path = join(folder, 'disk.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1M']);
    execFileSync('qemu-io', ['-c', 'write -P 7 0 1M', path]);
    execFileSync('qemu-img', ['resize', '-q', '--shrink', path, '99840']);
    const graph = createGraph({ platform: nodePlatform, drivers });
    const node = await graph.openFile(path, { format: 'qcow2' });
    const disk = await attachAlone(node);
    await disk.truncate(1 << 20);
    const read = new Uint8Array(1 << 20);
    await disk.read(0, read);
    await disk.close();
    expect(read.subarray(0, 99_840).every((byte) => byte === 7)).toBe(true);
    expect(read.subarray(99_840).every((byte) => byte === 0)).toBe(true);
    execFileSync('qemu-img', ['check', path], { stdio: 'pipe' });
  },
);
