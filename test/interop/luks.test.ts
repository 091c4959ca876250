/**
 * Encrypted images against real tools: what QEMU and cryptsetup write is read here, what is written here they read, and both
 * say the same about it. Disks are written in turns by ours and by the real qemu-io, and must read as an array of bytes does.
 *
 * PROPERTY_SEQUENCES sets how many sequences of turns are run, PROPERTY_FIRST the seed of the first one.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders } from '../support/cli.ts';
import { bothHere, runOwn } from '../support/own-tools.ts';
import { ioCommands, run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveCryptsetup, haveQemu } from '../support/tools.ts';

const secrets = ['a', 'b', 'c'].flatMap((id) => ['--object', `secret,id=${id},data=passphrase ${id}`]);
const quick = 'iter-time=1';

const openings = {
  luks: (file: string, id = 'a') => `driver=luks,key-secret=${id},file.filename=${file}`,
  qcow2: (file: string, id = 'a') =>
    `driver=qcow2,encrypt.key-secret=${id},discard=unmap,file.filename=${file}`,
} as const;
type Format = keyof typeof openings;
const formats = Object.keys(openings) as Format[];

const creations: Record<Format, string> = {
  luks: `key-secret=a,${quick}`,
  qcow2: `encrypt.format=luks,encrypt.key-secret=a,encrypt.${quick}`,
};

const path = scratchDirectory();

async function ours(tool: 'qemu-img' | 'qemu-io', ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await runOwn(tool, args);
  if (status !== 0) throw new Error(`${tool} ${args.join(' ')} gave ${status}: ${stdout}${stderr}`);
  return stdout;
}

const createOurs = (
  format: Format,
  file: string,
  options = creations[format],
  size = '1M',
): Promise<string> => ours('qemu-img', 'create', '-q', ...secrets, '-f', format, '-o', options, file, size);
const createTheirs = (format: Format, file: string, options = creations[format], size = '1M'): string =>
  run('qemu-img', 'create', '-q', ...secrets, '-f', format, '-o', options, file, size);

const ioOurs = (opening: string, ...commands: string[]): Promise<string> =>
  ours('qemu-io', ...secrets, ...ioCommands(...commands), '--image-opts', opening);
const ioTheirs = (opening: string, ...commands: string[]): string =>
  run('qemu-io', ...secrets, ...ioCommands(...commands), '--image-opts', opening);

describe.skipIf(!haveQemu)('an encrypted image', () => {
  describe('is told about as the real one tells about it', () => {
    let folders: TwoFolders;
    beforeAll(() => {
      folders = new TwoFolders();
      const origin = path('origin');
      mkdirSync(origin);
      const more = `${quick},cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,hash-alg=sha1`;
      createTheirs('luks', join(origin, 'a.luks'));
      createTheirs('luks', join(origin, 'essiv.luks'), `key-secret=a,${more}`);
      createTheirs('luks', join(origin, 'serpent.luks'), `key-secret=a,${quick},cipher-alg=serpent-256`);
      createTheirs('qcow2', join(origin, 'a.qcow2'));
      const inQcow2 = `encrypt.format=luks,encrypt.key-secret=a,${more.replace(/(^|,)/g, '$1encrypt.')}`;
      createTheirs('qcow2', join(origin, 'essiv.qcow2'), inQcow2);
      createTheirs('qcow2', join(origin, 'aes.qcow2'), 'encrypt.format=aes,encrypt.key-secret=a');
      run('qemu-img', 'create', '-q', '-f', 'qcow2', join(origin, 'plain.qcow2'), '1M');
      for (const folder of [folders.ours, folders.theirs]) run('cp', '-r', `${origin}/.`, folder);
    });
    afterAll(() => folders?.remove());

    const images = ['a.luks', 'essiv.luks', 'serpent.luks', 'a.qcow2', 'essiv.qcow2', 'aes.qcow2'];
    const lines = [
      ...images.flatMap((name) => [`info ${name}`, `info --output=json ${name}`]),
      'create -f luks -o help',
      'amend -f luks -o help',
      'amend -f qcow2 -o help',
      'create -f luks new.luks 1M',
      'create -f luks -o key-secret=zz new.luks 1M',
      'create -f luks -o key-secret=a,cipher-alg=zz new.luks 1M',
      'create -f luks -o key-secret=a,cipher-mode=zz new.luks 1M',
      'create -f luks -o key-secret=a,ivgen-alg=zz new.luks 1M',
      'create -f luks -o key-secret=a,hash-alg=zz new.luks 1M',
      'create -f luks -o key-secret=a,detached-header=on new.luks 1M',
      'create -f luks -o key-secret=a,iter-time=1 made.luks 1M',
      'create -f qcow2 -o encrypt.format=zz,encrypt.key-secret=a new.qcow2 1M',
      'create -f qcow2 -o encrypt.key-secret=a new.qcow2 1M',
      'create -f qcow2 -o encrypt.format=luks new.qcow2 1M',
      'create -f qcow2 -o encrypt.format=luks,encrypt.key-secret=a,encryption=on new.qcow2 1M',
      'measure -O luks --size 1G',
      'measure -O luks -o key-secret=a,cipher-mode=cbc --size 1M',
      'measure -O qcow2 -o encrypt.format=luks --size 1G',
      'measure -O qcow2 -o encrypt.format=luks,encrypt.key-secret=a,cluster_size=4k --output=json --size 1G',
      'map a.luks',
      'map a.qcow2',
      `map --output=json --image-opts ${openings.luks('a.luks')}`,
      `map --output=json --image-opts ${openings.luks('a.luks', 'b')}`,
      `map --output=json --image-opts ${openings.qcow2('a.qcow2', 'b')}`,
      `map --output=json --image-opts ${openings.qcow2('a.qcow2', 'zz')}`,
      'info --image-opts driver=qcow2,encrypt.format=luks,file.filename=plain.qcow2',
      'info --image-opts driver=qcow2,encrypt.format=aes,file.filename=a.qcow2',
      'info --image-opts driver=qcow2,encrypt=zz,file.filename=a.qcow2',
      'info --image-opts driver=luks,zz=1,file.filename=a.luks',
      `info json:{"driver":"qcow2","encrypt":{"key-secret":"a"},"file":{"driver":"file","filename":"a.qcow2"}}`,
      `info json:{"driver":"luks","key-secret":"a","file":{"driver":"file","filename":"a.luks"}}`,
      ...[
        ...['state=active', 'state=active,new-secret=zz', 'state=active,new-secret=b,keyslot=0'],
        ...['state=active,new-secret=b,keyslot=8', 'state=active,new-secret=b,old-secret=a', 'keyslot=0'],
        ...['state=zz,keyslot=0', 'state=inactive', 'state=inactive,keyslot=7', 'state=inactive,keyslot=9'],
        ...[
          'state=inactive,keyslot=0,old-secret=b',
          'state=inactive,new-secret=b',
          'state=inactive,old-secret=b',
        ],
        ...[
          'state=inactive,old-secret=a',
          'state=inactive,keyslot=0',
          'state=inactive,keyslot=0,iter-time=10',
        ],
      ].flatMap((change) => [
        `amend --image-opts ${openings.luks('a.luks')} -o ${change}`,
        `amend --image-opts ${openings.qcow2('a.qcow2')} -o ${change.replace(/(^|,)/g, '$1encrypt.')}`,
      ]),
    ];
    test.each(lines)('%s', async (line) => {
      const args = line.split(' ');
      const { ours, theirs } = await bothHere(folders, 'qemu-img', [args[0]!, ...secrets, ...args.slice(1)]);
      expect(ours).toEqual(theirs);
    });
  });

  describe.each(formats)('in format %s', (format) => {
    const opening = openings[format];

    test('is read and written by both', async () => {
      const file = path(`both.${format}`);
      await createOurs(format, file);
      await ioOurs(opening(file), 'write -P 1 0 1M', 'write -P 2 1000 70000');
      ioTheirs(opening(file), 'read -P 2 1000 70000', 'read -P 1 71000 100000', 'write -P 3 123 456');
      await ioOurs(
        opening(file),
        'read -P 3 123 456',
        'read -P 1 0 123',
        'read -P 1 579 421',
        'read -P 2 1000 70000',
      );
    });

    test('that the real one has made is read and written by both', async () => {
      const file = path(`theirs.${format}`);
      createTheirs(format, file);
      ioTheirs(opening(file), 'write -P 1 0 1M');
      await ioOurs(opening(file), 'read -P 1 0 1M', 'write -P 2 511 2');
      ioTheirs(opening(file), 'read -P 1 0 511', 'read -P 2 511 2', 'read -P 1 513 100k');
    });

    test('is opened by no other passphrase, which no message has', async () => {
      const file = path(`closed.${format}`);
      await createOurs(format, file);
      const before = readFileSync(file);
      for (const id of ['b', 'zz']) {
        const args = [...secrets, '-c', 'write 0 4k', '--image-opts', opening(file, id)];
        const { status, stdout, stderr } = await runOwn('qemu-io', args);
        expect(status).toBe(1);
        expect(stderr).toMatch(
          /^qemu-io: can't open: (Invalid password, cannot unlock any keyslot|No secret with id 'zz')\n$/,
        );
        expect(stdout + stderr).not.toContain('passphrase');
      }
      expect(readFileSync(file).equals(before)).toBe(true);
    });

    test('gets the copy of a plain disk, and gives it back', async () => {
      const [plain, file, back] = [path(`plain.${format}`), path(`copy.${format}`), path(`back.${format}`)];
      writeFileSync(plain, Buffer.alloc(1 << 20, 'some text that is not to be seen'));
      const target = ['-O', format, '-o', creations[format], plain, file];
      await ours('qemu-img', 'convert', ...secrets, '-f', 'raw', ...target);
      expect(readFileSync(file).includes('some text')).toBe(false);
      run('qemu-img', 'convert', ...secrets, '-O', 'raw', '--image-opts', opening(file), back);
      expect(readFileSync(back).equals(readFileSync(plain))).toBe(true);
      await ours('qemu-img', 'convert', ...secrets, '-O', 'raw', '--image-opts', opening(file), back);
      expect(readFileSync(back).equals(readFileSync(plain))).toBe(true);
    });

    test('gets new keys and loses old ones, which the real one sees', async () => {
      const file = path(`keys.${format}`);
      await createOurs(format, file);
      await ioOurs(opening(file), 'write -P 5 0 64k');
      const prefix = format === 'luks' ? '' : 'encrypt.';
      const amend = (id: string, change: string, ...more: string[]): Promise<string> => {
        const options = change.replace(/(^|,)/g, `$1${prefix}`);
        return ours(
          'qemu-img',
          'amend',
          ...secrets,
          ...more,
          '-o',
          options,
          '--image-opts',
          opening(file, id),
        );
      };
      await amend('a', `state=active,new-secret=b,${quick}`);
      await amend('a', `state=active,new-secret=c,keyslot=6,${quick}`);
      for (const id of ['a', 'b', 'c']) ioTheirs(opening(file, id), 'read -P 5 0 64k');
      await amend('c', 'state=inactive,old-secret=a');
      expect(() => ioTheirs(opening(file, 'a'), 'read 0 1')).toThrow('Invalid password');
      await amend('b', `state=active,new-secret=a,keyslot=1,${quick}`, '--force');
      expect(() => ioTheirs(opening(file, 'b'), 'read 0 1')).toThrow('Invalid password');
      for (const id of ['a', 'c']) ioTheirs(opening(file, id), 'read -P 5 0 64k');
      await amend('a', 'state=inactive,keyslot=6');
      await amend('a', 'state=inactive,keyslot=1', '--force');
      await expect(ioOurs(opening(file), 'read 0 1')).rejects.toThrow('Invalid password');
    });

    test('grows and shrinks', async () => {
      const file = path(`size.${format}`);
      await createOurs(format, file);
      await ioOurs(opening(file), 'write -P 1 0 1M');
      await ours('qemu-img', 'resize', '-q', ...secrets, '--image-opts', opening(file), '3M');
      ioTheirs(opening(file), 'read -P 1 0 1M', 'write -P 2 2M 1M');
      await ioOurs(opening(file), 'read -P 2 2M 1M');
      await ours('qemu-img', 'resize', '-q', '--shrink', ...secrets, '--image-opts', opening(file), '100k');
      ioTheirs(opening(file), 'length', 'read -P 1 0 100k');
    });

    const sequences = Number(process.env['PROPERTY_SEQUENCES'] ?? 40) / 20;
    const firstSeed = Number(process.env['PROPERTY_FIRST'] ?? 1);
    test.each(Array.from({ length: sequences }, (_, index) => firstSeed + index))(
      'reads as an array of bytes after turns of both, sequence %i',
      { timeout: 120_000 },
      async (seed) => {
        const random = new Seeded(seed);
        const file = path(`turns.${format}`);
        const clusterSize = random.pick(['4k', '64k']);
        await createOurs(
          format,
          file,
          creations[format] + (format === 'luks' ? '' : `,cluster_size=${clusterSize}`),
        );
        const model = new Uint8Array(1 << 20);
        await ioOurs(opening(file), 'write -P 0 0 1M');
        for (let turn = 0; turn < 6; turn++) {
          const commands: string[] = [];
          for (let count = 0; count < 15; count++) {
            const unit = random.oneIn(3) ? 1 : 512;
            const offset = random.below(model.length / unit) * unit;
            const bytes = Math.min(model.length - offset, (1 + random.below(random.pick([8, 300]))) * unit);
            const pattern = random.oneIn(4) ? 0 : 1 + random.below(255);
            model.fill(pattern, offset, offset + bytes);
            commands.push(
              pattern === 0 ? `write -z ${offset} ${bytes}` : `write -P ${pattern} ${offset} ${bytes}`,
            );
          }
          if (turn % 2 === 0) await ioOurs(opening(file), ...commands);
          else ioTheirs(opening(file), ...commands);
          const [byOurs, byTheirs] = [path('turn.ours'), path('turn.theirs')];
          await ours('qemu-img', 'convert', ...secrets, '-O', 'raw', '--image-opts', opening(file), byOurs);
          run('qemu-img', 'convert', ...secrets, '-O', 'raw', '--image-opts', opening(file), byTheirs);
          expect(readFileSync(byOurs).equals(model), `ours after turn ${turn}`).toBe(true);
          expect(readFileSync(byTheirs).equals(model), `theirs after turn ${turn}`).toBe(true);
        }
        if (format === 'qcow2') run('qemu-img', 'check', ...secrets, '--image-opts', opening(file));
      },
    );
  });

  test.each([
    'cipher-alg=aes-192',
    'cipher-mode=ecb,hash-alg=ripemd160',
    'ivgen-alg=plain,hash-alg=sha512',
    'cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv',
    'cipher-mode=cbc,ivgen-alg=plain',
  ])('with %s is the same to both', async (options) => {
    const file = path('cipher.luks');
    for (const create of [createOurs, createTheirs]) {
      await create('luks', file, `${creations.luks},${options}`);
      ioTheirs(openings.luks(file), 'write -P 1 0 100k', 'write -P 2 99k 100k');
      await ioOurs(openings.luks(file), 'read -P 1 0 99k', 'read -P 2 99k 100k', 'write -P 3 512k 70k');
      ioTheirs(openings.luks(file), 'read -P 3 512k 70k');
    }
  });

  test('with the old AES method is read', async () => {
    const file = path('aes.qcow2');
    createTheirs('qcow2', file, 'encrypt.format=aes,encrypt.key-secret=a,cluster_size=4k');
    ioTheirs(openings.qcow2(file), 'write -P 1 0 100k', 'write -P 2 300k 5000', 'write -P 3 50k 1k');
    const reads = ['read -P 1 0 50k', 'read -P 3 50k 1k', 'read -P 2 300k 5000', 'read -P 0 500k 100k'];
    await ours('qemu-io', '-r', ...secrets, ...ioCommands(...reads), '--image-opts', openings.qcow2(file));
    await expect(ioOurs(openings.qcow2(file), 'read 0 1')).rejects.toThrow('obsolete, can only be read');
    await expect(createOurs('qcow2', path('no'), 'encrypt.format=aes,encrypt.key-secret=a')).rejects.toThrow(
      'are not made: use encrypt.format=luks',
    );
  });

  test('keeps snapshots, which the real one reads', async () => {
    const file = path('snapshots.qcow2');
    const opening = ['--image-opts', openings.qcow2(file)];
    await createOurs('qcow2', file);
    await ioOurs(openings.qcow2(file), 'write -P 1 0 200k');
    await ours('qemu-img', 'snapshot', ...secrets, '-c', 's', ...opening);
    await ioOurs(openings.qcow2(file), 'write -P 2 10k 100k');
    run('qemu-img', 'check', ...secrets, ...opening);
    expect(await ours('qemu-img', 'check', file)).toContain('No errors were found');
    run('qemu-img', 'snapshot', ...secrets, '-a', 's', ...opening);
    await ioOurs(openings.qcow2(file), 'read -P 1 0 200k', 'write -P 3 0 1k');
    await ours('qemu-img', 'snapshot', ...secrets, '-a', 's', ...opening);
    ioTheirs(openings.qcow2(file), 'read -P 1 0 200k');
  });

  test('with preallocation reads as zeros', async () => {
    const file = path('preallocated.qcow2');
    await createOurs('qcow2', file, `${creations.qcow2},preallocation=metadata`);
    await ioOurs(openings.qcow2(file), 'read -P 0 0 1M', 'write -P 1 1000 10');
    ioTheirs(openings.qcow2(file), 'read -P 0 0 1000', 'read -P 1 1000 10', 'read -P 0 1010 1000000');
    run('qemu-img', 'check', ...secrets, '--image-opts', openings.qcow2(file));
  });

  test('is a backing file, and has one', async () => {
    const [base, top] = [path('base.luks'), path('top.qcow2')];
    await createOurs('luks', base);
    await ioOurs(openings.luks(base), 'write -P 1 0 1M');
    const name = `json:${JSON.stringify({ driver: 'luks', 'key-secret': 'a', file: { driver: 'file', filename: base } })}`;
    const options = `${creations.qcow2.replaceAll('=a', '=b')}`;
    const backing = ['-b', name, '-F', 'luks'];
    await ours('qemu-img', 'create', '-q', ...secrets, '-f', 'qcow2', '-o', options, ...backing, top);
    await ioOurs(openings.qcow2(top, 'b'), 'read -P 1 0 1M', 'write -P 2 1000 100');
    ioTheirs(openings.qcow2(top, 'b'), 'read -P 1 0 1000', 'read -P 2 1000 100', 'read -P 1 1100 100000');
    await ours('qemu-img', 'commit', '-q', ...secrets, '--image-opts', openings.qcow2(top, 'b'));
    ioTheirs(openings.luks(base), 'read -P 1 0 1000', 'read -P 2 1000 100', 'read -P 1 1100 100000');
  });

  test('is not compressed', async () => {
    const [plain, file] = [path('compressed.raw'), path('compressed.qcow2')];
    writeFileSync(plain, Buffer.alloc(1 << 20, 1));
    const args = [
      'convert',
      '-c',
      ...secrets,
      '-f',
      'raw',
      '-O',
      'qcow2',
      '-o',
      creations.qcow2,
      plain,
      file,
    ];
    const { status, stderr } = await runOwn('qemu-img', args);
    expect([status, stderr]).toEqual([
      1,
      'qemu-img: Compression and encryption not supported at the same time\n',
    ]);
  });
});

describe.skipIf(!haveCryptsetup)('a LUKS volume and cryptsetup', () => {
  const cryptsetup = (input: string, ...args: string[]): { status: number | null; output: string } => {
    const { status, stdout, stderr } = spawnSync('cryptsetup', args, { input, encoding: 'utf8' });
    return { status, output: stdout + stderr };
  };
  const opens = (file: string, passphrase: string): boolean =>
    cryptsetup(passphrase, 'open', '--test-passphrase', '--key-file', '-', file).status === 0;

  test('ours is told about, opened, and given another key by it', async () => {
    const file = path('cryptsetup.luks');
    await createOurs('luks', file);
    expect(cryptsetup('', 'luksDump', file).output).toMatch(
      /Version:\s+1\n.*Cipher mode:\s+xts-plain64.*Key Slot 0: ENABLED/s,
    );
    expect([opens(file, 'passphrase a'), opens(file, 'passphrase b')]).toEqual([true, false]);
    writeFileSync(path('new-key'), 'passphrase b');
    const added = cryptsetup(
      'passphrase a',
      'luksAddKey',
      '-q',
      '--iter-time',
      '1',
      '--key-file',
      '-',
      file,
      path('new-key'),
    );
    expect(added).toMatchObject({ status: 0 });
    await ioOurs(openings.luks(file, 'b'), 'read 0 4k');
  });

  test.each(['aes-xts-plain64', 'aes-cbc-essiv:sha256', 'aes-cbc-plain'])(
    'its volume with %s is opened, and keys are changed',
    async (cipher) => {
      const file = path('formatted.luks');
      writeFileSync(file, '');
      truncateSync(file, 4 << 20);
      const how = [
        '--type',
        'luks1',
        '-q',
        '--iter-time',
        '1',
        '--cipher',
        cipher,
        '--key-size',
        '256',
        '--key-file',
        '-',
      ];
      expect(cryptsetup('passphrase a', 'luksFormat', ...how, file)).toMatchObject({ status: 0 });
      await ioOurs(openings.luks(file), 'write -P 1 0 1M', 'read -P 1 0 1M');
      const change = ['-o', `state=active,new-secret=b,${quick}`, '--image-opts', openings.luks(file)];
      await ours('qemu-img', 'amend', ...secrets, ...change);
      expect([opens(file, 'passphrase a'), opens(file, 'passphrase b')]).toEqual([true, true]);
      const erase = ['-o', 'state=inactive,keyslot=0', '--image-opts', openings.luks(file, 'b')];
      await ours('qemu-img', 'amend', ...secrets, ...erase);
      expect([opens(file, 'passphrase a'), opens(file, 'passphrase b')]).toEqual([false, true]);
    },
  );
});
