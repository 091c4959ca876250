/** The examples of the pages that say how something is added: each is put where it says it belongs, checked, and used. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DriverDefinition } from '../../host/block/driver.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import type { AnyCommand } from '../../host/qmp/command.ts';
import { commands } from '../../host/qmp/commands/index.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { attachAlone } from '../support/attach.ts';
import { connectClient } from '../support/local-client.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';
import { bochsImage } from './bochs-image.ts';

const root = resolve(import.meta.dirname, '../..');
const pages = ['host/filters/README.md', 'host/formats/README.md', 'host/qmp/README.md'];
const guides = pages.map((page) => readFileSync(join(root, page), 'utf8')).join('\n');
/** Beside what is built: the repository has no such files. */
const place = join(root, 'build/guides');
const examples = [...guides.matchAll(/^```ts\n\/\/ (\S+)\n([\s\S]*?)^```/gm)].map(([, path, text]) => ({
  path: path!,
  text: text!,
}));

beforeAll(() => {
  for (const { path, text } of examples) {
    const file = join(place, path);
    mkdirSync(dirname(file), { recursive: true });
    const from = dirname(join(root, 'host', path));
    writeFileSync(
      file,
      text.replace(/'(\.\.?\/[^']+)'/g, (_, target: string) => `'${resolve(from, target)}'`),
    );
  }
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

const load = <T>(path: string): Promise<T> => import(/* @vite-ignore */ join(place, path)) as Promise<T>;

describe('the examples', () => {
  test('are these', () => {
    expect(examples.map(({ path }) => path)).toEqual([
      'filters/noisy.ts',
      'formats/bochs.ts',
      'qmp/commands/x-node-length.ts',
    ]);
  });

  test('have the types that they use', () => {
    const config = join(place, 'tsconfig.json');
    writeFileSync(
      config,
      JSON.stringify({
        extends: join(root, 'tsconfig.json'),
        include: ['./**/*.ts', join(root, 'host/wasm.d.ts')],
      }),
    );
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout, status } = spawnSync(process.execPath, [compiler, '-p', config], { encoding: 'utf8' });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  test('a filter tells what passes', async () => {
    const { noisy } = await load<{ noisy: DriverDefinition }>('filters/noisy.ts');
    const simulation = createSimulation(1);
    const told: string[] = [];
    const console = { ...simulation.platform.console, stderr: (line: string) => told.push(line) };
    await simulation.run(async () => {
      const graph = createGraph({
        platform: { ...simulation.platform, console },
        drivers: [...drivers, noisy],
      });
      const file = { driver: 'memory', size: 1 << 20 };
      const disk = await attachAlone(await graph.open({ driver: 'noisy', prefix: 'w', file }));
      await disk.write(512, new Uint8Array(1024));
      await disk.close();
    });
    expect(told).toEqual(['w 512+1024']);
  });

  test('a QMP command answers', async () => {
    const { xNodeLength } = await load<{ xNodeLength: AnyCommand }>('qmp/commands/x-node-length.ts');
    const server = new QmpServer({ platform: nodePlatform, drivers, commands: [...commands, xNodeLength] });
    const client = await connectClient(server);
    await client.run('blockdev-add', { driver: 'memory', 'node-name': 'm', size: 4096 });
    expect(await client.run('x-node-length', { 'node-name': 'm' })).toBe(4096);
    await server.stop();
    await server.close();
  });

  describe('a format', () => {
    const scratch = scratchDirectory();
    const { image, content } = bochsImage({ 0: [0, 3], 5: [1, 2, 127], 63: [126, 127] });

    /** The same image with one number changed. */
    function changed(at: number, value: number): Uint8Array {
      const copy = image.slice();
      new DataView(copy.buffer).setUint32(at, value, true);
      return copy;
    }

    async function open(bytes: Uint8Array, options: object = { 'read-only': true }): Promise<BlockNode> {
      const { bochs } = await load<{ bochs: DriverDefinition }>('formats/bochs.ts');
      writeFileSync(scratch('disk.bochs'), bytes);
      const graph = createGraph({ platform: nodePlatform, drivers: [...drivers, bochs] });
      const file = { driver: 'file', filename: scratch('disk.bochs') };
      return graph.open({ driver: 'bochs', file, ...options });
    }

    test('is read, and known by its first bytes', async () => {
      const node = await open(image);
      expect(node.graph.drivers.probe(image).name).toBe('bochs');
      const disk = await attachAlone(node, Perm.consistentRead);
      const read = new Uint8Array(disk.length);
      await disk.read(0, read);
      expect(Buffer.compare(read, content)).toBe(0);
      await disk.close();
    });

    test('is not opened for writing', async () => {
      await expect(open(image, {})).rejects.toThrow('Image is read-only');
      const node = await open(image, { 'auto-read-only': true });
      expect(node.readOnly).toBe(true);
      await node.graph.unref(node);
    });

    const damage = {
      'the magic': [0, 0],
      'the version': [64, 0x30000],
      'a huge catalog': [72, 1 << 21],
      'a small catalog': [72, 10],
      'no extents': [80, 0],
      'uneven extents': [80, 1000],
      'huge extents': [80, 1 << 24],
      'no bitmap': [76, 0],
      'a huge disk': [92, 1 << 20],
    } as const;
    for (const [what, [at, value]] of Object.entries(damage)) {
      test.skipIf(!haveQemu)(`is judged as by QEMU: ${what}`, async () => {
        const bytes = changed(at, value);
        const ours = await open(bytes).then(
          async (node) => {
            await node.graph.unref(node);
            return '';
          },
          (error: Error) => error.message,
        );
        const path = scratch('disk.bochs');
        const theirs = spawnSync('qemu-img', ['info', '-f', 'bochs', path], {
          encoding: 'utf8',
        }).stderr.trim();
        expect(theirs).toBe(ours && `qemu-img: Could not open '${path}': ${ours}`);
      });
    }

    test.skipIf(!haveQemu)('reads as with QEMU', () => {
      writeFileSync(scratch('disk.bochs'), image);
      run('qemu-img', 'convert', '-O', 'raw', scratch('disk.bochs'), scratch('disk.raw'));
      expect(Buffer.compare(readFileSync(scratch('disk.raw')), content)).toBe(0);
    });
  });
});
