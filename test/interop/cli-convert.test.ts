/** `img convert` against the real qemu-img: messages, and targets that both tools find equal. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { libc } from '../../host/platform/node/libc.ts';
import { TwoFolders } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

/** What a map says of what is where, however it is laid out in the file. */
function extents(map: string): string[] {
  const found: { start: number; what: string }[] = [];
  for (const { start, present, zero, data, compressed } of JSON.parse(map)) {
    const what = JSON.stringify({ present, zero, data, compressed });
    if (found.at(-1)?.what !== what) found.push({ start, what });
  }
  return found.map(({ start, what }) => `${start} ${what}`);
}

describe.skipIf(!haveQemu)('img convert', () => {
  let folders: TwoFolders;

  beforeAll(() => {
    folders = new TwoFolders();
    const { img, io } = folders;
    img('create -q -f qcow2 a.qcow2 1M');
    io('a.qcow2', 'write 0 200k', 'write -P 7 500k 3k', 'write -P 0 640k 64k');
    img('create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2');
    io('b.qcow2', 'write -P 3 64k 64k', 'write -z 128k 64k');
    img('create -q -f qcow2 -b b.qcow2 -F qcow2 c.qcow2 3M');
    io('c.qcow2', 'write -P 4 1000k 200k', 'write -P 5 2900k 1k');
    img('create -q -f qcow2 big.qcow2 5M');
    img('create -q -f qcow2 none.qcow2 0');
    img('create -q -f raw r.raw 1M');
    folders.prepare('qemu-io', '-f', 'raw', '-c', 'write -P 9 64k 64k', 'r.raw');
    img('create -q -f raw short.raw 1000');
    img('create -q -f raw small.raw 512k');
    img('create -q -f qcow2 -o cluster_size=512 tiny.qcow2 1M');
    // From nearly every sector to few of them, as it goes on.
    const sectors = Array.from({ length: 2048 }, (_, i) => i).filter((i) => (i * 7919) % 2048 > i);
    io('tiny.qcow2', ...sectors.map((i) => `write -q -P ${1 + (i % 255)} ${i * 512} 512`));
  });
  afterAll(() => folders?.remove());

  test.each([
    'convert nonexistent o',
    'convert -O zz a.qcow2 o',
    'convert -f zz a.qcow2 o',
    'convert -t foo a.qcow2 o',
    'convert -T foo a.qcow2 o',
    'convert -S 100 a.qcow2 o',
    'convert -S x a.qcow2 o',
    'convert -S 32M a.qcow2 o',
    'convert -m 0 a.qcow2 o',
    'convert -m 17 a.qcow2 o',
    'convert -m x a.qcow2 o',
    'convert -r x a.qcow2 o',
    'convert --target-is-zero a.qcow2 o',
    'convert -C -c a.qcow2 o',
    'convert -C -S 4k a.qcow2 o',
    'convert -C --salvage a.qcow2 o',
    'convert -c a.qcow2 o',
    'convert -c -O raw a.qcow2 o',
    'convert -n a.qcow2 nonexistent',
    'convert -n a.qcow2 small.raw',
    'convert -n -O raw big.qcow2 r.raw',
    'convert -n -o foo=1 -O raw a.qcow2 r.raw',
    'convert -o foo=1 -O raw a.qcow2 o.raw',
    'convert -o cluster_size=zz -O qcow2 a.qcow2 o.raw',
    'convert -o cluster_size=3000 -O qcow2 a.qcow2 o.qcow2',
    'convert -B a.qcow2 -O qcow2 b.qcow2 o.qcow2',
    'convert -B nonexistent -F qcow2 -O qcow2 b.qcow2 o.qcow2',
    'convert -B a.qcow2 -F qcow2 -O raw b.qcow2 o.qcow2',
    'convert -B a.qcow2 -F qcow2 -O qcow2 a.qcow2 b.qcow2 o.qcow2',
    'convert --target-image-opts a.qcow2 o',
    'convert --target-image-opts -O raw -n a.qcow2 x',
    'convert --image-opts -f raw a.qcow2 x',
    'convert --skip-broken-bitmaps -O qcow2 a.qcow2 o.qcow2',
    'convert a.qcow2 /nonexistent/o',
    'convert -O qcow2 a.qcow2 /nonexistent/o',
    'convert -q -p a.qcow2 o.raw',
    'convert -o help -O raw',
  ])('%s', async (line) => {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', line.split(' '));
    expect(ours).toEqual(theirs);
  });

  test('refuses to write over its own source', async () => {
    const { ours, theirs } = await folders.both('qemu-img', ['convert', 'c.qcow2', 'c.qcow2']);
    expect(ours).toEqual(theirs);
    expect(ours.status).toBe(1);
  });

  const sources = ['a.qcow2', 'b.qcow2', 'c.qcow2', 'r.raw', 'short.raw', 'none.qcow2', 'big.qcow2'];
  const ways: readonly (readonly [string, string])[] = [
    ['raw', '-O raw'],
    ['raw', '-O raw -S 0'],
    ['raw', '-O raw -m 1'],
    ['qcow2', '-O qcow2'],
    ['qcow2', '-O qcow2 -W -m 16'],
    ['qcow2', '-O qcow2 -S 0'],
    ['qcow2', '-O qcow2 -S 64k'],
    ['qcow2', '-c -O qcow2'],
    ['qcow2', '-c -W -O qcow2 -o cluster_size=4k'],
    ['qcow2', '-O qcow2 -o cluster_size=512,compat=0.10'],
    ['qcow2', '-O qcow2 -o cluster_size=2M,refcount_bits=1'],
    ['qcow2', '-O qcow2 -t writethrough -T none'],
    ['raw', '-C -O raw'],
    ['qcow2', '-C -W -O qcow2 -o cluster_size=4k'],
    ['qcow2', '-C -O qcow2 -t writethrough'],
  ];

  for (const [format, options] of ways) {
    test(`${options} gives what the real tools find equal and sound`, async () => {
      for (const source of sources) {
        const converted = await folders.ourTool('qemu-img', 'convert', ...options.split(' '), source, 'copy');
        expect(converted).toEqual({ status: 0, stdout: '', stderr: '' });
        const compared = await folders.realTool('qemu-img', 'compare', '-F', format, source, 'copy');
        expect({ source, ...compared }).toMatchObject({
          source,
          status: 0,
          stdout: 'Images are identical.\n',
        });
        if (format === 'qcow2') {
          const checked = await folders.realTool('qemu-img', 'check', '-f', 'qcow2', 'copy');
          expect({ source, ...checked }).toMatchObject({ source, status: 0, stderr: '' });
        }
      }
    });
  }

  test('allocates in the target what the real tool allocates', async () => {
    for (const options of ['-O qcow2', '-O qcow2 -S 0', '-O qcow2 -o cluster_size=4k', '-c -O qcow2']) {
      await folders.both('qemu-img', ['convert', ...options.split(' '), 'c.qcow2', 'copy.qcow2']);
      const { ours, theirs } = await folders.both('qemu-io', ['-c', 'map', 'copy.qcow2']);
      expect({ options, ...ours }).toEqual({ options, ...theirs });
    }
  });

  test.skipIf(!libc())('has the host copy what lies in files as it is', async () => {
    const line = '--trace block_copy_range convert -C -O qcow2 c.qcow2 copy.qcow2';
    const { ours } = await bothHere(folders, 'qemu-img', line.split(' '));
    const copied = [...ours.stderr.matchAll(/ bytes (\d+) .* result ok/g)].map(([, bytes]) => Number(bytes));
    const total = copied.reduce((sum, bytes) => sum + bytes, 0);
    const map = await folders.realTool('qemu-img', 'map', '--output=json', 'c.qcow2');
    const stored = (JSON.parse(map.stdout) as { length: number; data: boolean }[])
      .filter(({ data }) => data)
      .reduce((sum, { length }) => sum + length, 0);
    // Of each request the target tells, and its file.
    expect(total).toBe(2 * stored);
  });

  test('reads and writes, and looks for zeros, where the host cannot copy', async () => {
    const images = '--image-opts driver=compress,file.driver=qcow2,file.file.filename=a.qcow2';
    const line = `--trace block_copy_range convert -C -O qcow2 ${images} copy.qcow2`;
    const { ours, theirs } = await folders.both('qemu-img', line.replace(/--trace \S+ /, '').split(' '));
    expect(ours).toEqual(theirs);
    const seen = await folders.both('qemu-io', ['-c', 'map', 'copy.qcow2']);
    expect(seen.ours).toEqual(seen.theirs);
    const { ours: traced } = await bothHere(folders, 'qemu-img', line.split(' '));
    expect(traced).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('leaves to the backing file what the source does not hold itself', async () => {
    const line = 'convert -B a.qcow2 -F qcow2 -O qcow2 b.qcow2 copy.qcow2'.split(' ');
    await folders.both('qemu-img', line);
    for (const look of [
      ['map', '--output=json', 'copy.qcow2'],
      ['compare', 'copy.qcow2', 'b.qcow2'],
      ['check', 'copy.qcow2'],
    ]) {
      const { ours, theirs } = await folders.both('qemu-img', look);
      expect(ours).toEqual(theirs);
    }
  });

  test.each([
    '',
    '-m 1 ',
    '-S 8k ',
    '-S 0 ',
    '-c ',
    '-o cluster_size=512 ',
    '-o cluster_size=4k ',
    '-W -m 3 ',
  ])('convert %sof many small extents leaves out what the real one leaves out', async (how) => {
    const line = `convert -O qcow2 ${how}tiny.qcow2 copy.qcow2`.split(' ');
    const converted = await folders.both('qemu-img', line);
    expect(converted.ours).toEqual(converted.theirs);
    const { ours, theirs } = await folders.both('qemu-img', ['map', '--output=json', 'copy.qcow2']);
    expect(extents(ours.stdout)).toEqual(extents(theirs.stdout));
    const compared = await folders.realTool('qemu-img', 'compare', 'tiny.qcow2', 'copy.qcow2');
    expect(compared.stdout).toBe('Images are identical.\n');
  });

  test('puts several sources one after the other', async () => {
    await folders.both('qemu-img', ['convert', 'a.qcow2', 'short.raw', 'r.raw', 'joined.raw']);
    await folders.both('qemu-img', [
      'convert',
      '-c',
      '-O',
      'qcow2',
      'a.qcow2',
      'short.raw',
      'r.raw',
      'joined.qcow2',
    ]);
    const { ours, theirs } = await folders.both('qemu-img', ['info', 'joined.raw']);
    expect(ours.stdout.split('\n')[2]).toBe(theirs.stdout.split('\n')[2]);
    const compared = await folders.realTool('qemu-img', 'compare', '../theirs/joined.raw', 'joined.raw');
    expect(compared).toMatchObject({ status: 0 });
    expect(await folders.realTool('qemu-img', 'compare', 'joined.qcow2', 'joined.raw')).toMatchObject({
      status: 0,
    });
  });

  test('overwrites an existing target as far as the source goes', async () => {
    for (const target of ['raw', 'qcow2']) {
      const name = `full.${target}`;
      folders.prepare('qemu-img', 'create', '-q', '-f', target, name, '3M');
      folders.prepare('qemu-io', '-f', target, '-c', 'write -P 255 0 3M', name);
      const converted = await folders.ourTool('qemu-img', 'convert', '-n', '-O', target, 'c.qcow2', name);
      expect(converted).toEqual({ status: 0, stdout: '', stderr: '' });
      const compared = await folders.realTool('qemu-img', 'compare', '-F', target, 'c.qcow2', name);
      expect(compared.stdout).toContain('Images are identical.');
    }
  });

  test('shows the same progress for one worker', async () => {
    const { ours, theirs } = await folders.both(
      'qemu-img',
      'convert -p -m 1 -O qcow2 c.qcow2 copy.qcow2'.split(' '),
    );
    expect(ours).toEqual(theirs);
  });
});
