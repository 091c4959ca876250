/**
 * Filters on images, by real qemu-io and by ours: every request ends the same way, and the images hold the same
 * clusters in the same way.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { asBlockError } from '../../host/base/errors.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { attachAlone, readWrite } from '../support/attach.ts';
import { ioCommands } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu } from '../support/tools.ts';
import { kib } from '../support/units.ts';

const scratch = scratchDirectory();
const diskBytes = 4 << 20;

interface Request {
  kind: 'read' | 'write' | 'zero';
  offset: number;
  bytes: number;
  pattern: number;
}

/** Options of the filter, above the image `top.qcow2` in the folder. */
const filters: Record<string, (folder: string) => object> = {
  compress: (folder) => ({ driver: 'compress', file: image(folder) }),
  'copy-on-read': (folder) => ({ driver: 'copy-on-read', file: image(folder) }),
  'copy-on-read down to a bottom': (folder) => ({
    driver: 'copy-on-read',
    bottom: 'mid',
    file: { ...image(folder), backing: { ...image(folder, 'mid'), 'node-name': 'mid' } },
  }),
  preallocate: (folder) => {
    const { file, ...rest } = image(folder);
    return { ...rest, file: { driver: 'preallocate', 'prealloc-size': 1 << 20, file } };
  },
};

function image(folder: string, name = 'top') {
  return { driver: 'qcow2', file: { driver: 'file', filename: join(folder, `${name}.qcow2`) } };
}

function prepare(folder: string, random: Seeded): void {
  mkdirSync(folder);
  const tool = (name: string, ...args: string[]) => execFileSync(name, args, { cwd: folder, stdio: 'pipe' });
  const fill = (name: string): string[] =>
    ioCommands(
      ...Array.from({ length: 6 }, () => {
        const offset = random.below(diskBytes / (4 * kib) - 64) * 4 * kib;
        return `write -P ${1 + random.below(99)} ${offset} ${4 * kib * (1 + random.below(64))}`;
      }),
    ).concat(name);
  tool('qemu-img', 'create', '-q', '-f', 'qcow2', 'base.qcow2', `${diskBytes}`);
  tool('qemu-io', ...fill('base.qcow2'));
  tool('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'mid.qcow2');
  tool('qemu-io', ...fill('mid.qcow2'));
  tool('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'mid.qcow2', '-F', 'qcow2', 'top.qcow2');
}

/** `unit`: of zeros; what becomes of parts of clusters is for the format to decide. */
function invent(random: Seeded, unit: number): Request[] {
  return Array.from({ length: 40 }, () => {
    if (random.oneIn(4)) {
      const offset = random.below(diskBytes / unit) * unit;
      const bytes = Math.min(diskBytes - offset, unit * (1 + random.below((256 * kib) / unit)));
      return { kind: 'zero' as const, offset, bytes, pattern: 0 };
    }
    const offset = random.below(diskBytes / 512) * 512;
    const bytes = Math.min(diskBytes - offset, 512 * (1 + random.below(random.pick([8, 300]))));
    return {
      kind: random.pick(['read', 'write'] as const),
      offset,
      bytes,
      pattern: 100 + random.below(99),
    };
  });
}

/** How each request ended: empty, or the error. */
function runReal(options: object, requests: readonly Request[]): string[] {
  const commands = requests.map(({ kind, offset, bytes, pattern }) => {
    if (kind === 'read') return `read ${offset} ${bytes}`;
    return kind === 'zero' ? `write -z ${offset} ${bytes}` : `write -P ${pattern} ${offset} ${bytes}`;
  });
  const args = [`json:${JSON.stringify(options)}`, ...ioCommands(...commands)];
  const { stdout, stderr } = spawnSync('qemu-io', args, { encoding: 'utf8', timeout: 20_000 });
  const outcomes = `${stdout}${stderr}`
    .split('\n')
    .filter((line) => / bytes at offset | failed: /.test(line));
  return outcomes.map((line) => / failed: (.*)/.exec(line)?.[1] ?? '');
}

async function runOurs(options: Record<string, unknown>, requests: readonly Request[]): Promise<string[]> {
  const graph = createGraph({ platform: nodePlatform, drivers });
  const node = await graph.open(options);
  const disk = await attachAlone(node, readWrite);
  const outcomes: string[] = [];
  for (const { kind, offset, bytes, pattern } of requests) {
    try {
      if (kind === 'read') await disk.read(offset, new Uint8Array(bytes));
      else if (kind === 'zero') await disk.writeZeroes(offset, bytes);
      else await disk.write(offset, new Uint8Array(bytes).fill(pattern));
      outcomes.push('');
    } catch (error) {
      outcomes.push(asBlockError(error).message);
    }
  }
  await disk.close();
  return outcomes;
}

/** Clusters as they are, wherever they are. */
function layout(folder: string): unknown {
  const command = ['map', '--output=json', join(folder, 'top.qcow2')];
  const extents = JSON.parse(execFileSync('qemu-img', command, { encoding: 'utf8' })) as Record<
    string,
    unknown
  >[];
  const cut: unknown[] = [];
  for (const { start, length, depth, present, data } of extents) {
    // How far an extent reaches depends on where its clusters happen to be, and on holes of the file.
    for (let at = 0; at < (length as number); at += 512)
      cut[((start as number) + at) / 512] = `${depth} ${present} ${data}`;
  }
  return cut.map((kind, at) => (kind === cut[at - 1] ? undefined : `${at}: ${kind}`)).filter(Boolean);
}

/** Ours leaves out the zeros at the end of the last one. */
const clustersIn = (path: string): number => Math.ceil(statSync(path).size / (64 * kib));

describe.skipIf(!haveQemu)('real qemu-io and ours leave the same image', () => {
  for (const [name, options] of Object.entries(filters)) {
    test(`through ${name}`, { timeout: 60_000 }, async () => {
      for (let seed = 1; seed <= 4; seed++) {
        const random = new Seeded(seed);
        const real = scratch(`${name}-real-${seed}`);
        const ours = scratch(`${name}-ours-${seed}`);
        prepare(real, random);
        mkdirSync(ours);
        for (const one of ['base', 'mid', 'top']) {
          copyFileSync(join(real, `${one}.qcow2`), join(ours, `${one}.qcow2`));
        }
        const requests = invent(random, name === 'compress' ? 512 : 64 * kib);
        const expected = runReal(options(real), requests);
        expect(await runOurs(options(ours) as Record<string, unknown>, requests)).toEqual(expected);
        expect(expected).toHaveLength(requests.length);
        expect(layout(ours)).toEqual(layout(real));
        const [a, b] = [join(real, 'top.qcow2'), join(ours, 'top.qcow2')];
        execFileSync('qemu-img', ['check', '-q', b], { stdio: 'pipe' });
        execFileSync('qemu-img', ['compare', '-q', a, b], { stdio: 'pipe' });
        if (name === 'preallocate') expect(clustersIn(b)).toBe(clustersIn(a));
      }
    });
  }
});
