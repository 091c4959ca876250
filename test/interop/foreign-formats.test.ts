/**
 * Files in formats that there are no drivers for: refused by name exactly where the real qemu-img takes them for
 * something else than raw.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders } from '../support/cli.ts';
import { bothHere, runOwn } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

const creatable = ['vhdx', 'parallels', 'qed', 'qcow'];

/** Beginnings of files, one character a byte; the rest is zeros. */
const bochs = `${'Bochs Virtual HD Image'.padEnd(32, '\0')}${'Redolog'.padEnd(16, '\0')}${'Growing'.padEnd(16, '\0')}`;
const heads: Record<string, string> = {
  'vmdk of version 3': 'COWD\x01',
  'vdi, one byte further': `${'\0'.repeat(65)}\x7f\x10\xda\xbe`,
  'parallels, old': 'WithoutFreeSpace\x02',
  'parallels of version 3': 'WithoutFreeSpace\x03',
  'luks 1': 'LUKS\xba\xbe\0\x01',
  'luks 2': 'LUKS\xba\xbe\0\x02',
  'qcow of version 0': 'QFI\xfb\0\0\0\0',
  'bochs 1': `${bochs}\0\0\x01\0`,
  'bochs 2': `${bochs}\0\0\x02\0`,
  'bochs 3': `${bochs}\0\0\x03\0`,
  'bochs of another type': bochs.replace('Redolog', 'Flatlog'),
  cloop: '#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n',
  'another script': '#!/bin/sh\n#V2.0 Format\nmodprobe loop',
  'version first': 'version=1\n',
  'comments first': '# Disk DescriptorFile\n#x\r\n  \nversion=3\r\nCID=fffffffe\n',
  'an empty line': '#x\n\nversion=1\n',
  'a tab': '\t\nversion=1\n',
  'version 4': '# Disk DescriptorFile\nversion=4\n',
  'version 10': '# Disk DescriptorFile\nversion=10\n',
  'no end of line': '# Disk DescriptorFile\nversion=1',
  'a long comment': `#${'x'.repeat(600)}\nversion=1\n`,
  'something else first': 'foo=1\nversion=1\n',
};

describe.skipIf(!haveQemu)('formats that are not read', () => {
  let folders: TwoFolders;
  beforeAll(() => {
    folders = new TwoFolders();
    for (const format of creatable)
      folders.prepare('qemu-img', 'create', '-q', '-f', format, `a.${format}`, '1M');
    folders.prepare('qemu-img', 'create', '-q', '-f', 'vpc', '-o', 'subformat=fixed', 'fixed.vpc', '1M');
  });
  afterAll(() => folders?.remove());

  const at = (name: string): string => join(folders.ours, name);

  const refusal = (name: string, format: string): string =>
    `Could not open '${at(name)}': Images in format '${format}' are not supported\n` +
    "Specify the 'raw' format explicitly to take the bytes of the file for those of the disk.\n";

  test.each(creatable.map((format) => [`a.${format}`, format] as const))(
    '%s is refused by name',
    async (name, format) => {
      const stderr = `qemu-img: ${refusal(name, format)}`;
      for (const args of [['info'], ['map'], ['check'], ['snapshot', '-l']]) {
        expect(await runOwn('qemu-img', [...args, at(name)])).toMatchObject({ status: 1, stderr });
      }
      expect(await runOwn('qemu-img', ['convert', '-O', 'raw', at(name), at('out.raw')])).toMatchObject({
        status: 1,
        stderr,
      });
      expect(existsSync(at('out.raw'))).toBe(false);
      expect(await runOwn('qemu-io', ['-c', 'read 0 512', at(name)])).toMatchObject({
        status: 1,
        stderr: `qemu-io: can't open device ${at(name)}: ${refusal(name, format).replace(/^.*?: /, '')}`,
      });
    },
  );

  test('a file whose format is named raw is its own bytes', async () => {
    expect(await runOwn('qemu-io', ['-f', 'raw', '-c', 'read -P 0x76 0 1', at('a.vhdx')])).toMatchObject({
      status: 0,
    });
  });

  test('a disk that was probed raw does not become such a container', async () => {
    folders.write('disk.raw', '\0'.repeat(4096));
    folders.write('header', 'vhdxfile'.padEnd(512, '\0'));
    const { ours, theirs } = await bothHere(folders, 'qemu-io', ['-c', 'write -s header 0 512', 'disk.raw']);
    expect(ours).toEqual(theirs);
    expect(ours.stdout).toContain('Operation not permitted');
  });

  test.each([...Object.keys(heads), 'fixed.vpc', 'text.dmg'])(
    '%s is raw only where it is for the real one',
    async (what) => {
      const name = what.includes('.') ? what : 'head';
      if (name !== 'fixed.vpc') {
        const content = Buffer.from((heads[what] ?? 'text').padEnd(4096, '\0'), 'latin1');
        for (const folder of [folders.ours, folders.theirs]) writeFileSync(join(folder, name), content);
      }
      const { ours, theirs } = await bothHere(folders, 'qemu-img', ['info', name]);
      const isRaw = (stdout: string): boolean => /^file format: raw$/m.test(stdout);
      expect(isRaw(ours.stdout)).toBe(isRaw(theirs.stdout));
      if (!isRaw(ours.stdout))
        expect(ours.stderr).toMatch(
          /Images in format '(parallels|luks|bochs|cloop|dmg)' are not|LUKS|VMDK|extent without a descriptor/,
        );
    },
  );
});
