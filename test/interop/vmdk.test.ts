/** VMDK images next to the real qemu-img and qemu-io: made, described, mapped, converted, checked, refused. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Outcome, TwoFolders, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { run } from '../support/qemu.ts';
import { haveQemu } from '../support/tools.ts';

const subformats = [
  'monolithicSparse',
  'monolithicFlat',
  'twoGbMaxExtentSparse',
  'twoGbMaxExtentFlat',
  'streamOptimized',
];

/** Content ids are drawn at random. */
const withoutIds = (text: string): string =>
  text
    .replace(/\b(parent )?cid: (?!4294967295)\d+/g, '$1cid: ID')
    .replace(/"(parent-)?cid": (?!4294967295)\d+/g, '"$1cid": ID')
    .replace(/CID=(?!ffffffff)[0-9a-f]+/g, 'CID=ID')
    .replace(/disk size: .*/g, 'disk size: SIZE')
    .replace(/"actual-size": \d+/g, '"actual-size": SIZE');

describe.skipIf(!haveQemu)('vmdk', () => {
  let folders: TwoFolders;
  beforeAll(() => {
    folders = new TwoFolders();
  });
  afterAll(() => folders?.remove());
  beforeEach(() => {
    for (const folder of [folders.ours, folders.theirs])
      for (const name of filesOf(folder)) rmSync(join(folder, name), { force: true });
  });

  const filesOf = (folder: string): string[] => run('ls', folder).split('\n').filter(Boolean);

  async function expectSame(tool: 'qemu-img' | 'qemu-io', line: string | string[]): Promise<Outcome> {
    const { ours, theirs } = await bothHere(folders, tool, typeof line === 'string' ? words(line) : line);
    const told = ({ status, stdout, stderr }: Outcome) => ({
      status,
      stdout: withoutIds(stdout),
      stderr: withoutIds(stderr),
    });
    expect(told(ours), `${tool} ${line}`).toEqual(told(theirs));
    return ours;
  }

  /** Every file of both folders is the same, but for content ids. */
  function expectSameFiles(): void {
    expect(filesOf(folders.ours)).toEqual(filesOf(folders.theirs));
    for (const name of filesOf(folders.ours)) {
      const [ours, theirs] = [folders.ours, folders.theirs].map((folder) =>
        readFileSync(join(folder, name))
          .toString('latin1')
          .replace(/CID=[0-9a-f]+\n/g, 'CID=ID\n'),
      );
      // What follows a shorter id is further in front, up to the zeros.
      const trimmed = (text = ''): string => text.replace(/\0+/g, '\0');
      expect(trimmed(ours) === trimmed(theirs), name).toBe(true);
    }
  }

  const creations = [
    ...subformats.map((subformat) => `-o subformat=${subformat} a.vmdk 10M`),
    'a.vmdk 512',
    'a.vmdk 33554944',
    'a.vmdk 3G',
    'noext 1M',
    '-o subformat=twoGbMaxExtentSparse a.vmdk 5G',
    '-o subformat=twoGbMaxExtentFlat a.b.vmdk 2147484160',
    '-o adapter_type=lsilogic,hwversion=9,toolsversion=123,zeroed_grain=on a.vmdk 1G',
    '-o compat6=on,adapter_type=legacyESX a.vmdk 10M',
    '-o subformat=streamOptimized,zeroed_grain=on a.vmdk 10M',
    '-o subformat=MonolithicSparse a.vmdk 10M',
    '-o zeroed_grain=on,subformat=monolithicFlat a.vmdk 10M',
    '-o adapter_type=foo a.vmdk 10M',
    '-o hwversion=7,compat6=on a.vmdk 10M',
    '-o backing_fmt=raw a.vmdk 10M',
    '-o cluster_size=4k a.vmdk 10M',
    'a.vmdk',
  ];
  test.each(creations)('create %s', { timeout: 60_000 }, async (line) => {
    const { status } = await expectSame('qemu-img', `create -f vmdk ${line}`);
    if (status !== 0) return;
    // The real one writes directories sector by sector; what is in the files counts.
    if (!line.includes('G') && !line.includes('21474')) expectSameFiles();
    const name = line.split(' ').at(-2)!;
    await expectSame('qemu-img', `info ${name}`);
  });

  test('-o help', async () => {
    await expectSame('qemu-img', 'create -f vmdk -o help');
    await expectSame('qemu-img', 'create -f vmdk -o help a.vmdk');
  });

  test.each(subformats)(
    'an image of the real one, %s, is read and told of in the same way',
    async (subformat) => {
      folders.img(`create -q -f vmdk -o subformat=${subformat} a.vmdk 4M`);
      folders.io('a.vmdk', 'write -P 1 0 128k', 'write -P 2 1M 64k', 'write -P 3 4128768 64k');
      await expectSame('qemu-img', 'info a.vmdk');
      await expectSame('qemu-img', 'map --output=json a.vmdk');
      await expectSame('qemu-img', 'map a.vmdk');
      await expectSame('qemu-img', 'check --output=json a.vmdk');
      await expectSame('qemu-io', [
        '-c',
        'read -P 1 0 128k',
        '-c',
        'read -P 0 128k 64k',
        '-c',
        'read -P 3 4032k 64k',
        'a.vmdk',
      ]);
      await expectSame('qemu-img', 'convert -O raw a.vmdk a.raw');
      expect(
        Buffer.compare(
          readFileSync(join(folders.ours, 'a.raw')),
          readFileSync(join(folders.theirs, 'a.raw')),
        ),
      ).toBe(0);
      await expectSame('qemu-img', 'convert -O qcow2 a.vmdk a.qcow2');
      for (const refused of [
        'resize a.vmdk 8M',
        'measure -O vmdk a.vmdk',
        'snapshot -c x a.vmdk',
        'amend -o size=1 a.vmdk',
      ])
        await expectSame('qemu-img', refused);
    },
  );

  test.each(subformats)('converted to %s it is read by the real one', async (subformat) => {
    folders.img('create -q -f raw a.raw 4198400');
    folders.io('a.raw', 'write -P 1 0 100k', 'write -P 2 1M 64k', 'write -P 3 4198300 100');
    await expectSame('qemu-img', `convert -O vmdk -o subformat=${subformat} a.raw a.vmdk`);
    for (const tool of ['ourTool', 'realTool'] as const) {
      const compared = await folders[tool]('qemu-img', 'compare', 'a.raw', 'a.vmdk');
      expect(compared.stdout).toBe('Images are identical.\n');
    }
    const { status } = await folders.realTool('qemu-img', 'check', 'a.vmdk');
    expect(status).toBe(0);
  });

  test('an image on another is written, and its parent may not change', async () => {
    folders.img('create -q -f vmdk base.vmdk 2M');
    folders.io('base.vmdk', 'write -P 7 0 1M');
    await expectSame('qemu-img', 'create -f vmdk -b base.vmdk -F vmdk -o zeroed_grain=on o.vmdk');
    await expectSame('qemu-img', 'create -f vmdk -b base.vmdk -F vmdk p.vmdk 3M');
    await expectSame('qemu-io', [
      '-c',
      'write -P 1 0 4k',
      '-c',
      'read -P 7 4k 60k',
      '-c',
      'write -z 64k 128k',
      '-c',
      'write -z 300k 4k',
      'o.vmdk',
    ]);
    await expectSame('qemu-io', [
      '-c',
      'write -z 64k 64k',
      '-c',
      'read -P 0 64k 64k',
      '-c',
      'read -P 7 128k 64k',
      'p.vmdk',
    ]);
    for (const name of ['o.vmdk', 'p.vmdk']) {
      await expectSame('qemu-img', `info ${name}`);
      await expectSame('qemu-img', `map --output=json ${name}`);
    }
    await expectSame('qemu-img', 'convert -O raw o.vmdk o.raw');
    expect((await folders.realTool('qemu-img', 'compare', 'o.raw', 'o.vmdk')).stdout).toBe(
      'Images are identical.\n',
    );
    await expectSame('qemu-img', 'rebase -u -b base.vmdk -F vmdk o.vmdk');
    await expectSame('qemu-io', ['-c', 'write -P 8 0 4k', 'base.vmdk']);
    const reads = ['-c', 'read -q -P 1 0 4k', '-c', 'read -q 512k 4k', 'o.vmdk'];
    const { ours, theirs } = await bothHere(folders, 'qemu-io', reads);
    expect(theirs).toMatchObject({ status: 1, stdout: 'read failed: Invalid argument' });
    expect(ours).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('read failed: Backing file has content'),
    });
  });

  test('create refuses what cannot be below it', async () => {
    folders.img('create -q -f raw r.raw 1M');
    folders.img('create -q -f vmdk base.vmdk 1M');
    for (const line of [
      '-b r.raw -F raw o.vmdk',
      '-b r.raw -F vmdk o.vmdk',
      '-b nope.vmdk -F vmdk o.vmdk',
      '-b base.vmdk o.vmdk',
      '-b base.vmdk -F vmdk -o subformat=monolithicFlat o.vmdk',
    ])
      await expectSame('qemu-img', `create -f vmdk ${line}`);
  });

  test('grains of a stream are written once, and whole', async () => {
    folders.img('create -q -f vmdk -o subformat=streamOptimized a.vmdk 1M');
    const outcomes = await bothHere(folders, 'qemu-io', [
      ...[
        '-c',
        'write -P 1 0 64k',
        '-c',
        'write -P 2 0 64k',
        '-c',
        'write -P 3 64k 4k',
        '-c',
        'write -P 4 128k 128k',
      ],
      ...['-c', 'read -P 1 0 64k', '-c', 'read -P 4 128k 128k', 'a.vmdk'],
    ]);
    // Ours says why at once, the real one in an extra line.
    const withoutReasons = (text: string): string => text.replace(/^write failed: .*/gm, 'write failed');
    expect(withoutReasons(outcomes.ours.stdout)).toBe(withoutReasons(outcomes.theirs.stdout));
    expect((await folders.realTool('qemu-io', '-c', 'read -P 4 128k 128k', 'a.vmdk')).status).toBe(0);
  });

  /** One field of the header of a sparse image. */
  const headerFields: Record<string, [at: number, bytes: number[]]> = {
    'version 4': [4, [4]],
    'no grains': [20, [0]],
    'no entries': [44, [0, 0]],
    'too many entries': [44, [1, 2]],
    'a footer that is not there': [56, Array(8).fill(0xff)],
    'an old version': [4, [0]],
    'no second directory': [8, [1]],
  };
  test.each(Object.keys(headerFields))('is judged as by the real one: %s', async (what) => {
    folders.img('create -q -f vmdk a.vmdk 1M');
    const [at, bytes] = headerFields[what]!;
    folders.patch('a.vmdk', (image) => {
      image.set(bytes, at);
      return image;
    });
    await expectSame('qemu-img', 'info a.vmdk');
  });

  const line = 'RW 2048 FLAT "a-flat.vmdk" 0';
  /** What is put in place of what in the descriptor of a flat image. */
  const descriptors: Record<string, [from: string | RegExp, to: string]> = {
    'a file that is not there': ['a-flat.vmdk', 'nope.vmdk'],
    'no start': [' 0\n', '\n'],
    'a start below zero': [' 0\n', ' -1\n'],
    'a start within': [' 0\n', ' 10\n'],
    'an unknown type': ['FLAT', 'ABC'],
    'VMFS with a start': ['FLAT', 'VMFS'],
    VMFS: [line, 'RW 2048 VMFS "a-flat.vmdk"'],
    'a sparse extent that is none': [line, 'RW 2048 SPARSE "a-flat.vmdk"'],
    'no type of image': ['createType', 'xreateType'],
    'another type of image': ['monolithicFlat', 'custom'],
    'version 2': ['version=1', 'version=2'],
    'lines of another system': [/\n/g, '\r\n'],
    'two extents': [line, `${line}\n${line}`],
    spaces: [line, `  ${line}`],
  };
  test.each(Object.keys(descriptors))('is judged as by the real one: %s', async (what) => {
    folders.img('create -q -f vmdk -o subformat=monolithicFlat a.vmdk 1M');
    const [from, to] = descriptors[what]!;
    folders.patch('a.vmdk', (text) => Buffer.from(text.toString().replace(from, to)));
    await expectSame('qemu-img', 'info -f vmdk a.vmdk');
  });

  test('no file outside of its folder is one of an image', async () => {
    folders.img('create -q -f vmdk -o subformat=monolithicFlat a.vmdk 1M');
    const text = readFileSync(join(folders.ours, 'a.vmdk'), 'utf8');
    for (const name of [join(folders.ours, 'a-flat.vmdk'), '../ours/a-flat.vmdk', 'x/../a-flat.vmdk']) {
      writeFileSync(join(folders.ours, 'a.vmdk'), text.replace('a-flat.vmdk', name));
      const { ours } = await bothHere(folders, 'qemu-img', ['info', 'a.vmdk']);
      expect(ours.stderr).toContain(`File '${name}' of the image is not in the folder of the image`);
    }
  });
});
