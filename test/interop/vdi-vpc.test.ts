/** Commands on VDI and VPC images, ours and the real one side by side: what they print, and what they make. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere, runOwn } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

/** One after the other in the same folders. */
const lines = [
  'create -f vdi -o help',
  'create -f vdi -o help x.vdi',
  'create -f vpc -o help',
  'create -f vpc -o help x.vhd',
  'create -f vdi empty.vdi 0',
  'create -f vdi odd.vdi 1048577',
  'create -f vdi a.vdi 5M',
  'create -f vdi -o static=on static.vdi 3M',
  'create -f vdi -o block_size=1M x.vdi 1M',
  'create -f vdi -b a.vdi -F vdi x.vdi',
  'create -f vdi -o static=perhaps x.vdi 1M',
  'create -f vpc empty.vhd 0',
  'create -f vpc odd.vhd 513',
  'create -f vpc a.vhd 5M',
  'create -f vpc -o force_size=on exact.vhd 5M',
  'create -f vpc -o subformat=fixed fixed.vhd 1M',
  'create -f vpc -o subformat=fixed,force_size=on same.vhd 1M',
  'create -f vpc huge.vhd 2040G',
  'create -f vpc x.vhd 2041G',
  'create -f vpc -o force_size=on x.vhd 2041G',
  'create -f vpc -o subformat=differencing x.vhd 1M',
  'create -f vpc -b a.vdi -F vdi x.vhd 1M',
  ...[
    'empty.vdi',
    'odd.vdi',
    'a.vdi',
    'static.vdi',
    'empty.vhd',
    'odd.vhd',
    'a.vhd',
    'exact.vhd',
    'huge.vhd',
  ].flatMap((name) => [`info ${name}`, `info --output=json ${name}`, `map --output=json ${name}`]),
  ...['fixed.vhd', 'same.vhd'].flatMap((name) => [
    `info -f vpc ${name}`,
    `info -f vpc --output=json ${name}`,
    `map -f vpc --output=json ${name}`,
    `info ${name}`,
  ]),
  ...['a.vdi', 'static.vdi', 'a.vhd'].flatMap((name) => [
    `check ${name}`,
    `check --output=json ${name}`,
    `check -r all ${name}`,
    `resize ${name} 10M`,
    `snapshot -l ${name}`,
    `snapshot -c one ${name}`,
    `rebase -u -b a.vdi -F vdi ${name}`,
  ]),
  'resize -f vpc fixed.vhd 10M',
  'measure -O vdi --size 10M',
  'measure -O vpc --size 10M',
  'convert -f vpc -O vdi fixed.vhd from-fixed.vdi',
  'map --output=json from-fixed.vdi',
  'convert -O vpc a.vdi from-vdi.vhd',
  'convert -O vpc -o force_size=on a.vdi exact-from-vdi.vhd',
  'convert -O vdi -o static=on exact.vhd from-vhd.vdi',
  'convert -O qcow2 a.vhd from-vhd.qcow2',
  'convert -c -O vdi a.vhd compressed.vdi',
  'compare a.vdi exact-from-vdi.vhd',
  'compare exact.vhd from-vhd.vdi',
  'compare a.vhd from-vhd.qcow2',
] as const;

describe.skipIf(!haveQemu)('vdi and vpc next to the real one', () => {
  let folders: TwoFolders;
  beforeAll(() => {
    folders = new TwoFolders();
  });
  afterAll(() => folders?.remove());

  /** Where what is allocated is told, how much of it is the file system's affair. */
  const masked = (text: string): string =>
    text.replace(/disk size: .*/g, 'disk size: SIZE').replace(/"actual-size": \d+/g, '"actual-size": SIZE');

  test.each(lines)('%s', async (line) => {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect({ ...ours, stdout: masked(ours.stdout) }).toEqual({ ...theirs, stdout: masked(theirs.stdout) });
  });

  test('images that have been written to have the same map, and are as long', async () => {
    for (const [name, format] of [
      ['a.vdi', 'vdi'],
      ['a.vhd', 'vpc'],
    ] as const) {
      const commands = [
        '-c',
        'write -P 1 4M 1k',
        '-c',
        'write -P 2 0 1k',
        '-c',
        'flush',
        '-c',
        'write -z 0 512',
      ];
      const written = await bothHere(folders, 'qemu-io', ['-f', format, ...commands, name]);
      expect(written.ours).toEqual(written.theirs);
      const map = await bothHere(folders, 'qemu-img', ['map', '--output=json', name]);
      expect(map.ours).toEqual(map.theirs);
      const [ours, theirs] = [folders.ours, folders.theirs].map((folder) => readFileSync(join(folder, name)));
      expect(ours!.length).toBe(theirs!.length);
    }
  });

  /** At offset, numbers of 32 bits that a file has; the signature of the file stays. */
  type Damage = readonly [what: string, offset: number, ...words: number[]];

  const named = (damages: readonly Damage[]) => damages.map((damage) => [damage[0], damage] as const);

  const damagedVdi: readonly Damage[] = [
    ['another version', 68, 0x20000],
    ['an unaligned map', 340, 0x201],
    ['unaligned blocks', 344, 0x401],
    ['other sectors', 360, 4096],
    ['a disk longer than its map', 368, 6 << 20],
    ['other blocks', 376, 2 << 20],
    ['too few blocks', 384, 4],
    ['a link', 424, 1],
    ['a parent', 440, 1],
    ['a wrong count', 388, 7],
    ['a block that is there twice', 512 + 4, 1],
    ['a block with too high a number', 512 + 4, 9],
    ['a discarded block', 512 + 4, 0xffff_fffe],
  ];

  function put(name: string, littleEndian: boolean, [, offset, ...numbers]: Damage): void {
    for (const folder of [folders.ours, folders.theirs]) {
      const bytes = Buffer.alloc(numbers.length * 4);
      for (const [i, number] of numbers.entries()) {
        if (littleEndian) bytes.writeUInt32LE(number, i * 4);
        else bytes.writeUInt32BE(number, i * 4);
      }
      const file = openSync(join(folder, name), 'r+');
      writeSync(file, bytes, 0, bytes.length, offset);
      closeSync(file);
    }
  }

  test.each(named(damagedVdi))('check of a vdi with %s', async (_, damage) => {
    folders.prepare('qemu-img', 'create', '-q', '-f', 'vdi', 'd.vdi', '5M');
    folders.prepare('qemu-io', '-f', 'vdi', '-c', 'write 3M 1k', '-c', 'write 0 1k', 'd.vdi');
    put('d.vdi', true, damage);
    const { ours, theirs } = await bothHere(folders, 'qemu-img', ['check', 'd.vdi']);
    expect(ours).toEqual(theirs);
  });

  const damagedVpc: readonly Damage[] = [
    ['another checksum', 64, 0],
    ['no dynamic header', 512, 0],
    ['odd blocks', 544, 513],
    ['blocks that are too small', 544, 4096],
    ['no block size', 544, 0],
    ['a short table', 540, 2],
    ['a table that is too long', 540, 0xffff_ffff],
    ['a table behind the end', 532, 1 << 24],
    ['a block behind the end', 1540, 0xfff_fff0],
  ];

  test.each(named(damagedVpc))('info of a vpc with %s', async (_, damage) => {
    folders.prepare('qemu-img', 'create', '-q', '-f', 'vpc', 'd.vhd', '5M');
    put('d.vhd', false, damage);
    const { ours, theirs } = await bothHere(folders, 'qemu-img', ['info', 'd.vhd']);
    expect(ours).toEqual(theirs);
  });

  test('which length counts depends on who made a vpc', async () => {
    for (const creator of ['qemu', 'vpc ', 'vs  ', 'win ', 'qem2', 'd2v ', 'tap\0', 'CTXS', 'conr']) {
      folders.prepare('qemu-img', 'create', '-q', '-f', 'vpc', 'who.vhd', '5M');
      folders.patch('who.vhd', (content) => {
        content.write(creator, 28, 'latin1');
        // A geometry that is smaller than the size.
        content.writeUInt16BE(144, 56);
        content.writeUInt32BE(0, 64);
        const sum = content.subarray(0, 512).reduce((total, byte) => total + byte, 0);
        content.writeUInt32BE(~sum >>> 0, 64);
        return content;
      });
      const { ours, theirs } = await bothHere(folders, 'qemu-img', ['info', 'who.vhd']);
      expect([creator, ours]).toEqual([creator, theirs]);
    }
    for (const choice of ['chs', 'current_size', 'perhaps']) {
      const options = `driver=vpc,force_size_calc=${choice},file.filename=who.vhd`;
      const { ours, theirs } = await bothHere(folders, 'qemu-img', ['info', '--image-opts', options]);
      expect(ours).toEqual(theirs);
    }
  });

  test('what changed since another image is refused', async () => {
    folders.prepare('qemu-img', 'create', '-q', '-f', 'vdi', 'child.vdi', '1M');
    put('child.vdi', true, ['', 76, 4]);
    const name = join(folders.ours, 'child.vdi');
    expect(await runOwn('qemu-img', ['info', name])).toMatchObject({
      status: 1,
      stderr: `qemu-img: Could not open '${name}': unsupported VDI image (differencing image)\n`,
    });
  });
});
