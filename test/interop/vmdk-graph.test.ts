/**
 * VMDK images in the graph: backups while they are written, dirty bitmaps beside them, exports, commits into a parent, and
 * blockdev-create. What comes of it is read by the real qemu-img.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { QmpClient } from '../../host/qmp/client.ts';
import { storageDaemonCommands } from '../../host/qmp/commands/storage-daemon.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { attach } from '../support/attach.ts';
import { runProgram } from '../support/cli.ts';
import { connectClient } from '../support/local-client.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';

const path = scratchDirectory();

describe.skipIf(!haveQemu)('vmdk in a graph', () => {
  let server: QmpServer;
  let client: QmpClient;
  beforeEach(async () => {
    server = new QmpServer({ platform: nodePlatform, drivers, commands: storageDaemonCommands });
    client = await connectClient(server);
  });
  afterEach(async () => {
    await server.stop();
    await server.close();
  });

  const create = (name: string, size: string, ...options: string[]): string => {
    run('qemu-img', 'create', '-q', '-f', 'vmdk', ...options, path(name), size);
    return path(name);
  };
  const add = (name: string, driver: string, filename: string): Promise<unknown> =>
    client.run('blockdev-add', { driver, 'node-name': name, file: { driver: 'file', filename } });

  /** Completes the job when it is ready. */
  async function finish(id: string): Promise<void> {
    for (;;) {
      const jobs = (await client.run('query-jobs')) as { id: string; status: string; error?: string }[];
      const job = jobs.find((one) => one.id === id);
      if (!job) return;
      if (job.error !== undefined) throw new Error(job.error);
      if (job.status === 'ready') await client.run('job-complete', { id });
      if (job.status === 'concluded') await client.run('job-dismiss', { id });
      await nodePlatform.clock.yield();
    }
  }

  /** A guest of the node; there is one before a job has the node. */
  const guestOf = (name: string): Promise<BlockBackend> =>
    attach(server.graph.lookup(name, name), Perm.write);
  const write = (guest: BlockBackend, value: number, offset: number, bytes: number): Promise<void> =>
    guest.write(offset, new Uint8Array(bytes).fill(value));

  const read = (file: string, ...patterns: string[]): string =>
    run('qemu-io', '-r', ...patterns.flatMap((pattern) => ['-c', `read -q -P ${pattern}`]), file);

  test('is backed up to another, and what was written since, by a dirty bitmap', async () => {
    await add('disk', 'vmdk', create('disk.vmdk', '4M', '-o', 'subformat=twoGbMaxExtentSparse'));
    await add('copy', 'vmdk', create('copy.vmdk', '4M'));
    const guest = await guestOf('disk');
    await write(guest, 1, 100_000, 300_000);
    await client.run('block-dirty-bitmap-add', { node: 'disk', name: 'b' });
    await client.run('blockdev-backup', { 'job-id': 'full', device: 'disk', target: 'copy', sync: 'full' });
    await write(guest, 2, 2 << 20, 65_536);
    await finish('full');
    const more = { sync: 'incremental', bitmap: 'b' };
    await client.run('blockdev-backup', { 'job-id': 'more', device: 'disk', target: 'copy', ...more });
    await finish('more');
    await guest.close();
    for (const name of ['disk', 'copy']) await client.run('blockdev-del', { 'node-name': name });
    expect(run('qemu-img', 'compare', path('disk.vmdk'), path('copy.vmdk'))).toBe('Images are identical.\n');
    expect(read(path('copy.vmdk'), '1 100000 300000', '2 2M 64k', '0 3M 1M')).toBe('');
    expect(run('qemu-img', 'check', path('copy.vmdk'))).toContain('No errors');
  });

  test('is exported, and has an overlay committed into it', async () => {
    const base = create('base.vmdk', '2M');
    const top = create('top.vmdk', '2M', '-b', base, '-F', 'vmdk');
    await add('top', 'vmdk', top);
    const guest = await guestOf('top');
    await write(guest, 5, 65_536, 100_000);
    await guest.close();
    const addr = { type: 'unix', data: { path: path('nbd.sock') } };
    await client.run('nbd-server-start', { addr });
    await client.run('block-export-add', { type: 'nbd', id: 'e', 'node-name': 'top', writable: true });
    // The server is in this process, which must not wait for its client.
    const args = ['-f', 'raw', '-c', 'write -q -P 6 1M 1k', `nbd+unix:///top?socket=${path('nbd.sock')}`];
    const written = await runProgram('qemu-io', args, '.');
    expect(written).toEqual({ status: 0, stdout: '', stderr: '' });
    await client.run('nbd-server-stop');
    await client.run('block-commit', { 'job-id': 'c', device: 'top' });
    await finish('c');
    await client.run('blockdev-del', { 'node-name': 'top' });
    expect(read(base, '5 65536 100000', '6 1M 1k', '0 0 64k')).toBe('');
    expect(run('qemu-img', 'check', base)).toContain('No errors');
  });

  /** blockdev-create, into files that are made first. */
  async function make(options: object, ...names: string[]): Promise<void> {
    for (const name of names) {
      const file = { driver: 'file', filename: path(name), size: 0 };
      await client.run('blockdev-create', { 'job-id': 'f', options: file });
      await finish('f');
    }
    await client.run('blockdev-create', { 'job-id': 'j', options: { driver: 'vmdk', ...options } });
    await finish('j');
  }

  const file = (name: string): object => ({ driver: 'file', filename: path(name) });

  test('is made by blockdev-create, in one file or in several', async () => {
    await make({ file: file('one.vmdk'), size: 1 << 20, 'adapter-type': 'lsilogic' }, 'one.vmdk');
    expect(run('qemu-img', 'info', path('one.vmdk'))).toContain('create type: monolithicSparse');
    const split = { subformat: 'twoGbMaxExtentFlat', size: 3 * 2 ** 30 };
    const extents = [file('a.bin'), file('b.bin')];
    await make({ file: file('split.vmdk'), ...split, extents }, 'split.vmdk', 'a.bin', 'b.bin');
    expect(run('qemu-img', 'info', path('split.vmdk'))).toMatch(
      /virtual size: 3 GiB[\s\S]*a\.bin[\s\S]*b\.bin/,
    );
    const sparse = { file: file('s.vmdk'), subformat: 'twoGbMaxExtentSparse', size: 1 << 20 };
    await expect(make(sparse, 's.vmdk')).rejects.toThrow('Extent [0] not specified');
  });

  test('is refused by blockdev-create with what there cannot be', async () => {
    const one = { file: file('x.vmdk'), size: 1 << 20 };
    const refusals: [object, string][] = [
      [{ size: 1000 }, 'Image size must be a multiple of 512 bytes'],
      [{ extents: [file('y.bin')] }, 'List of extents contains unused extents'],
      [{ subformat: 'monolithicFlat', 'zeroed-grain': true }, "Flat image can't enable zeroed grain"],
      [{ 'backing-file': 'nope.vmdk' }, 'No such file or directory'],
    ];
    for (const [options, message] of refusals) {
      await expect(make({ ...one, ...options }, 'x.vmdk'), message).rejects.toThrow(message);
      await client.run('job-dismiss', { id: 'j' });
    }
  });
});
