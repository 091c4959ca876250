/** Archives of the page against the `tar` that is installed, and what is no archive. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { headerOf, readTar, type TarEntry, writeTar } from '../../host/web/tar.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { requireAll } from '../support/tools.ts';

const scratch = scratchDirectory();
const haveTar = requireAll || spawnSync('tar', ['--version']).status === 0;
const modified = new Date(1_700_000_000_000);

const entry = (name: string, content: string): TarEntry => ({ name, content: new Blob([content]) });
const texts = (entries: readonly TarEntry[]) =>
  Promise.all(entries.map(async ({ name, content }) => [name, await content.text()]));
const bytesOf = async (blob: Blob): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await blob.arrayBuffer());

const files = [
  ['m/empty', ''],
  ['m/one-block', 'x'.repeat(512)],
  ['m/ü.json', '{"a": 1}'],
  [`m/${'long-'.repeat(30)}.qcow2`, 'y'.repeat(1000)],
] as const;

describe('a tar archive', () => {
  test('gives back what was put in, in its order', async () => {
    const archive = writeTar(
      files.map(([name, content]) => entry(name, content)),
      modified,
    );
    expect(archive.size % 512).toBe(0);
    expect(await texts(await readTar(archive))).toEqual(files);
  });

  test.skipIf(!haveTar)('is unpacked by tar', async () => {
    const archive = writeTar(
      files.map(([name, content]) => entry(name, content)),
      modified,
    );
    mkdirSync(scratch('out'));
    execFileSync('tar', ['-xf', '-', '-C', scratch('out')], { input: await bytesOf(archive) });
    for (const [name, content] of files) expect(readFileSync(scratch(`out/${name}`), 'utf8')).toBe(content);
  });

  test.skipIf(!haveTar).each(['gnu', 'ustar', 'pax', 'v7'])('is read as tar packs it: %s', async (format) => {
    const folder = scratch(format);
    const short = files.slice(0, 3);
    const packed = format === 'gnu' || format === 'pax' ? files : short;
    mkdirSync(`${folder}/m`, { recursive: true });
    for (const [name, content] of packed) writeFileSync(`${folder}/${name}`, content);
    const archive = execFileSync('tar', ['-c', `--format=${format}`, '--sort=name', '-C', folder, 'm']);
    const read = await texts(await readTar(new Blob([new Uint8Array(archive)])));
    expect(new Map(read as [string, string][])).toEqual(new Map(packed));
  });

  test.skipIf(!haveTar)('has room for files beyond what its header can say, as tar has', async () => {
    const size = 8 ** 11 + 5;
    writeFileSync(scratch('large'), '');
    truncateSync(scratch('large'), size);
    const packed = (format: string) =>
      execFileSync('sh', ['-c', `tar -c --format=${format} -C "$0" large | head -c 1536`, scratch('.')]);
    const own = await bytesOf(new Blob(headerOf('large', size, modified)));
    // What follows the header is asked for only where the archive ends.
    for (const head of [packed('gnu').subarray(0, 512), packed('pax'), own]) {
      const [begin, end] = [new Blob([new Uint8Array(head)]), new Blob([new Uint8Array(512)])];
      const archive = {
        size: begin.size + size + 507 + 1024,
        slice: (from: number, to: number) =>
          from < begin.size ? begin.slice(from, to) : to - from === 512 ? end : { size: to - from },
      };
      const read = await readTar(archive as unknown as Blob);
      expect(read).toEqual([{ name: 'large', content: { size } }]);
    }
  });

  test.skipIf(!haveTar)('of links is refused, and so is what is none, is damaged or breaks off', async () => {
    symlinkSync('/etc/passwd', scratch('link'));
    const links = execFileSync('tar', ['-c', '-C', scratch('.'), 'link']);
    await expect(readTar(new Blob([new Uint8Array(links)]))).rejects.toThrow(
      '“link” in it is no plain file.',
    );
    for (const none of [new Blob([]), new Blob(['x'.repeat(2048)]), new Blob([new Uint8Array(1024)])])
      await expect(readTar(none)).rejects.toThrow('It is no tar archive.');
    const archive = await bytesOf(writeTar([entry('a', 'x'.repeat(2000)), entry('b', 'y')], modified));
    for (const length of [1000, 2048, 2560, 2600, 3072])
      await expect(readTar(new Blob([archive.slice(0, length)]))).rejects.toThrow('It breaks off.');
    archive[2560 + 1] = 0xff;
    await expect(readTar(new Blob([archive]))).rejects.toThrow('It is damaged.');
  });
});
