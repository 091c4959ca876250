/**
 * Backups that drive-backup makes over QMP, judged by the real `qemu-img compare`: identical to the source as it was
 * when the command was answered, whatever formats, modes, sync and speed, and whatever a writer does meanwhile.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { QmpClient } from '../../host/qmp/client.ts';
import { commands } from '../../host/qmp/commands/index.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { attach } from '../support/attach.ts';
import { connectClient } from '../support/local-client.ts';
import { createByQemu, ioCommands, run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu } from '../support/tools.ts';
import { mib } from '../support/units.ts';

const diskBytes = 6 * mib + 1536;
const path = scratchDirectory();

/** What `qemu-img compare` must say. */
const identical = 'Images are identical.\n';

type Source = 'raw' | 'qcow2' | 'qcow2 with backing';
type Target = 'raw' | 'qcow2';

interface World {
  server: QmpServer;
  qmp: QmpClient;
  /** The node `disk`; its content at the beginning, byte for byte. */
  content: Uint8Array;
  sourceFile: string;
  sourceFormat: string;
  folder: string;
}

let world: World | undefined;
let worlds = 0;

beforeEach(() => {
  world = undefined;
});
afterEach(async () => {
  await world?.server.stop();
  await world?.server.close();
});

/** Data, zeros and holes, in the backing file and in the disk itself, and the server that has the disk open. */
async function makeWorld(source: Source): Promise<World> {
  const folder = path(`w${worlds++}`);
  run('mkdir', folder);
  const format = source === 'raw' ? 'raw' : 'qcow2';
  const file = join(folder, `disk.${format}`);
  const create = ['create', '-q', '-f', format];
  if (source === 'qcow2 with backing') {
    const base = join(folder, 'base.qcow2');
    run('qemu-img', 'create', '-q', '-f', 'qcow2', base, String(5 * mib));
    run('qemu-io', '-c', 'write -q -P 33 0 3M', '-c', 'write -q -P 34 4000k 300k', base);
    create.push('-b', base, '-F', 'qcow2');
  }
  run('qemu-img', ...create, file, String(diskBytes));
  const writes = ['-P 1 512k 700k', '-z 600k 100k', '-P 2 2000k 513', '-P 3 6M 1536'];
  if (format === 'qcow2') writes.push('-z -u 2560k 256k', '-c -P 4 3M 64k');
  run('qemu-io', '-f', format, ...ioCommands(...writes.map((one) => `write -q ${one}`)), file);
  const server = new QmpServer({ platform: nodePlatform, drivers, commands });
  const qmp = await connectClient(server);
  await qmp.run('blockdev-add', {
    driver: format,
    'node-name': 'disk',
    ...(format === 'qcow2' ? { discard: 'unmap' } : {}),
    file: { driver: 'file', filename: file },
  });
  world = {
    server,
    qmp,
    content: await readAll(server),
    sourceFile: file,
    sourceFormat: format,
    folder,
  };
  return world;
}

async function readAll(server: QmpServer): Promise<Uint8Array> {
  const disk = await attach(server.graph.getNode('disk'), Perm.consistentRead);
  const content = new Uint8Array(disk.length);
  await disk.read(0, content);
  await disk.close();
  return content;
}

/** Sends the command, and gives a promise for the end of the job, which rejects when it failed. */
async function startBackup(qmp: QmpClient, command: string, args: object): Promise<{ done: Promise<void> }> {
  let settle: { resolve(): void; reject(error: Error): void };
  const done = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  qmp.on('*', ({ event, data }) => {
    if (event === 'JOB_STATUS_CHANGE' && data['status'] === 'null') settle.resolve();
    if (event === 'BLOCK_JOB_ERROR' || (event === 'BLOCK_JOB_COMPLETED' && data['error'] !== undefined))
      settle.reject(new Error(JSON.stringify(data)));
  });
  done.catch(() => {});
  await qmp.run(command, args);
  return { done };
}

/** Where the backup goes; for mode=existing the file is there with something else in it. */
function prepareTarget({ folder }: World, format: Target, mode: string): string {
  const file = join(folder, `copy.${format}`);
  if (mode === 'existing') {
    run('qemu-img', 'create', '-q', '-f', format, file, String(diskBytes));
    run('qemu-io', '-f', format, '-c', 'write -q -P 200 0 1M', '-c', 'write -q -P 201 3M 2M', file);
  }
  return file;
}

/** A drive-backup of the disk from its beginning to its end, and the end of the server. */
async function backUp(made: World, args: object): Promise<void> {
  const { done } = await startBackup(made.qmp, 'drive-backup', { device: 'disk', 'job-id': 'j', ...args });
  await done;
  await finish(made);
}

async function finish({ server, qmp }: World): Promise<void> {
  await qmp.run('blockdev-del', { 'node-name': 'disk' });
  await server.stop();
}

const speeds = [
  { how: '', limit: {} },
  { how: ', with speed set', limit: { speed: 64 * mib } },
];

describe.skipIf(!haveQemu)('a backup is identical to its source for qemu-img compare', () => {
  for (const source of ['raw', 'qcow2', 'qcow2 with backing'] as const) {
    for (const format of ['raw', 'qcow2'] as const) {
      for (const mode of ['absolute-paths', 'existing'] as const) {
        for (const { how, limit } of speeds) {
          it(`sync=full, from ${source} to ${format}, ${mode}${how}`, async () => {
            const made = await makeWorld(source);
            const target = prepareTarget(made, format, mode);
            await backUp(made, { target, format, mode, sync: 'full', ...limit });
            expect(
              run('qemu-img', 'compare', '-f', made.sourceFormat, '-F', format, made.sourceFile, target),
            ).toBe(identical);
            if (format === 'qcow2') run('qemu-img', 'check', target);
          });
        }
      }
    }
  }

  for (const mode of ['absolute-paths', 'existing'] as const) {
    for (const { how, limit } of speeds) {
      it(`sync=top, over the same backing file, ${mode}${how}`, async () => {
        const made = await makeWorld('qcow2 with backing');
        const target = join(made.folder, 'copy.qcow2');
        if (mode === 'existing') {
          const backing = { file: join(made.folder, 'base.qcow2'), format: 'qcow2' };
          createByQemu(target, diskBytes, { backing });
        }
        await backUp(made, { target, format: 'qcow2', mode, sync: 'top', ...limit });
        expect(run('qemu-img', 'compare', made.sourceFile, target)).toBe(identical);
        run('qemu-img', 'check', target);
        const map = JSON.parse(run('qemu-img', 'map', '--output=json', target)) as {
          depth: number;
          start: number;
          length: number;
        }[];
        const below = map.find(({ start, length }) => start <= 100 << 10 && 100 << 10 < start + length);
        expect(below?.depth, 'what only the backing file has was not copied').toBe(1);
      });
    }
  }
});

describe.skipIf(!haveQemu)('a backup shows the instant of its transaction while a writer goes on', () => {
  for (const source of ['raw', 'qcow2', 'qcow2 with backing'] as const) {
    for (const [format, sync] of [
      ['raw', 'full'],
      ['qcow2', 'full'],
      ['qcow2', 'top'],
    ] as const) {
      if (sync === 'top' && source !== 'qcow2 with backing') continue;
      for (const seed of [1, 2]) {
        it(`sync=${sync}, from ${source} to ${format}, writes of seed ${seed}`, async () => {
          const made = await makeWorld(source);
          const { server, qmp, folder } = made;
          const random = new Seeded(seed);
          const disk = await attach(server.graph.getNode('disk'), Perm.all);
          const model = made.content;
          for (let i = 0; i < 20; i++) await changeSomething(disk, model, random);
          const instant = model.slice();
          const target = join(folder, `copy.${format}`);
          const chunk = { 'x-perf': { 'max-workers': 2, 'max-chunk': 65536 } };
          // So slow that most of the disk is copied behind the writer.
          const action = { device: 'disk', 'job-id': 'j', target, format, sync, speed: 16 * mib, ...chunk };
          const { done } = await startBackup(qmp, 'transaction', {
            actions: [{ type: 'drive-backup', data: action }],
          });
          let running = true;
          const ended = done.finally(() => {
            running = false;
          });
          let rounds = 0;
          while (running) {
            await Promise.all(changesApart(disk, model, random));
            rounds++;
          }
          await ended;
          await disk.close();
          await finish(made);
          const before = join(folder, 'instant');
          writeFileSync(before, instant);
          expect(run('qemu-img', 'compare', '-f', 'raw', '-F', format, before, target)).toBe(identical);
          if (format === 'qcow2') run('qemu-img', 'check', target);
          // What the writer did is in the source, and was not lost in the backup either.
          const after = join(folder, 'after');
          writeFileSync(after, model);
          expect(
            run('qemu-img', 'compare', '-f', 'raw', '-F', made.sourceFormat, after, made.sourceFile),
          ).toBe(identical);
          expect(rounds, 'rounds of writes while the backup went on').toBeGreaterThan(1);
          expect(Buffer.compare(instant, model), 'the writer changed something').not.toBe(0);
        });
      }
    }
  }
});

/** A few requests at the same time, each in a part of the disk of its own. */
function changesApart(disk: BlockBackend, model: Uint8Array, random: Seeded): Promise<void>[] {
  const parts = 4;
  const part = Math.floor(model.length / parts / 512) * 512;
  return Array.from({ length: parts }, (_, i) =>
    changeSomething(disk, model, random, i * part, i === parts - 1 ? model.length : (i + 1) * part),
  );
}

async function changeSomething(
  disk: BlockBackend,
  model: Uint8Array,
  random: Seeded,
  start = 0,
  end = model.length,
): Promise<void> {
  const offset = start + random.below(end - start);
  const bytes = Math.min(end - offset, 1 + random.below(random.oneIn(4) ? 200_000 : 9000));
  switch (random.below(6)) {
    case 0:
      model.fill(0, offset, offset + bytes);
      return disk.writeZeroes(offset, bytes, { mayUnmap: random.oneIn(2) });
    case 1: {
      // Whole clusters of the largest size in use here: then it is certain what is read afterwards.
      const cluster = 64 << 10;
      const from = Math.ceil(offset / cluster) * cluster;
      const to = Math.floor((offset + bytes) / cluster) * cluster;
      if (from >= to || disk.node.definition.name !== 'qcow2') return disk.flush();
      model.fill(0, from, to);
      return disk.discard(from, to - from);
    }
    default: {
      const pattern = 1 + random.below(255);
      model.fill(pattern, offset, offset + bytes);
      return disk.write(offset, new Uint8Array(bytes).fill(pattern));
    }
  }
}
