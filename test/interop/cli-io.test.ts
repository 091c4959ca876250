/**
 * `io` against the real qemu-io: sessions of commands on images that start out equal. Times and speeds are masked, all
 * else that is printed, the exit status, and the image afterwards have to be the same.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { TwoFolders } from '../support/cli.ts';
import { ioCommands } from '../support/qemu.ts';
import { haveQemu } from '../support/tools.ts';

const sessions: Record<string, string[]> = {
  read: [
    'write 0 64k',
    'read 0 64k',
    'read -P 0xcd 0 64k',
    'read -P 1 0 4k',
    'read -P 205 -s 512 -l 512 0 4k',
    'read -P 300 0 4k',
    'read -P x 0 4k',
    'read -q 0 4k',
    'read -C 0 4k',
    'read -v 0 40',
    'read -v 1000000 16',
    'read -v -q 0 16',
    'read 0',
    'read',
    'r',
    'read 0 1 2',
    'read -Z 0 1',
    'read --foo 0 1',
    'read -P',
    'read x 1',
    'read 0 x',
    'read 0 3G',
    'read 3M 1',
    'read 2M 0',
    'read -- -1 5',
    'read 0 -1',
    'read 1.5k 1',
    'read 0x10 0x10',
    'read 1E 512',
    'read 8E 1',
    'read -a -p 0 1',
    'read -s 1 0 5',
    'read -P 1 -s 10 0 5',
    'read -P 1 -l 10 0 5',
    'read -P 1 -s 3 -l 3 0 5',
    'read -P 1 -s x 0 5',
    'read -P 0 -s 0 -l 0 0 5',
    'read -P 1 -s 1 -l 1 -q 0 5',
    'read -b 1 512',
    'read -b 0 1',
  ],
  write: [
    'write 0',
    'write 0 1 2',
    'write -P 5 1000 3000',
    'write -P 300 0 1',
    'write -z 0 1000',
    'write -z -u 0 64k',
    'write -u 0 64k',
    'write -n 0 512',
    'write -z -n 0 64k',
    'write -z -P 1 0 512',
    'write -c 0 64k',
    'write -c 64k 128k',
    'write -c 0 1000',
    'write -c 3k 64k',
    'write -c 0 512',
    'write -c -z 0 64k',
    'write -b -z 0 64k',
    'write -f 0 512',
    'write -f -c 0 64k',
    'write -s nofile 0 512',
    'write -s pattern.txt 0 512',
    'read -v 0 20',
    'write -s /dev/null 0 512',
    'write -s pattern.txt -P 1 0 512',
    'write -q 0 512',
    'write -C 0 512',
    'write 2M 512',
    'write 2000k 512k',
    'write -b 1 512',
    'write 0 0',
    'write 0 3G',
    'write -zP 0 0 1',
    'write -P 0x1 0 1',
    'read -P 1 0 1',
  ],
  vectored: [
    'readv 0',
    'readv 0 512 1k',
    'readv -P 0xcd 0 512 512',
    'readv -v 0 5 6',
    'readv 0 x',
    'readv 0 512 x',
    'readv x 1',
    'readv -P 9999 0 1',
    'readv 3M 1',
    'readv 0 0',
    'readv -q 0 1',
    'readv -C 0 1',
    'readv 0 1G 1G',
    'readv 0 3G',
    'readv -1 1',
    'writev -P 5 0 512 512',
    'writev 0',
    'writev -f 0 1 2 3',
    'writev -q 0 1',
    'writev -C 0 1',
    'writev 3M 1',
    'writev -Z 1 1',
    'writev -P 777 1 1',
    'writev x 1',
  ],
  asynchronous: [
    'aio_write 0 64k',
    'aio_flush',
    'aio_read -P 0xcd 0 64k',
    'aio_flush',
    'aio_read -P 1 0 64k',
    'aio_flush',
    'aio_read -v 0 20',
    'aio_flush',
    'aio_read 5M 1',
    'aio_flush',
    'aio_write 5M 1',
    'aio_flush',
    'aio_read -i 0 512',
    'aio_write -i 0 512',
    'aio_write -z 0 64k',
    'aio_flush',
    'aio_write -z -u 0 64k',
    'aio_flush',
    'aio_write -u 0 64k',
    'aio_write -z 0 64k 64k',
    'aio_write -q 0 512',
    'aio_flush',
    'aio_write -C 0 512 512',
    'aio_flush',
    'aio_read 0',
    'aio_read x 1',
    'aio_read 0 x',
    'aio_read -P 400 0 1',
    'aio_write -P 400 0 1',
    'aio_write x 1',
    'aio_write -Z',
    'aio_write -z 0',
    'aio_write -n 0 1',
    'aio_flush 1',
    'aio_read -qv 0 5',
    'aio_flush',
    'aio_read 0 4k',
    'length',
    'read 4k 4k',
  ],
  image: [
    'flush',
    'flush 1',
    'discard 0 64k',
    'discard 0',
    'discard x 1',
    'discard 3M 1',
    'discard -q 0 1',
    'discard -C 0 1',
    'discard -Z 0 1',
    'discard 0 3G',
    'discard 1000 3000',
    'alloc',
    'alloc 0',
    'write -q 0 64k',
    'alloc 0 2M',
    'alloc x',
    'alloc 0 x',
    'alloc 100',
    'alloc 0 100',
    'alloc 5M',
    'alloc 0 5M',
    'alloc 0 1 2',
    'alloc -- -1',
    'write -q 64k 200k',
    'map',
    'map 1',
    'alloc 64k 1M',
    'length',
    'length 1',
    'info',
    'truncate 3M',
    'length',
    'truncate',
    'truncate x',
    'truncate 1M',
    'truncate -m foo 4M',
    'truncate -m full 4M',
    'truncate -m off 2M',
    'truncate -Z 1',
    'truncate 1000',
    'length',
    'map',
    'l',
    'i',
  ],
  files: [
    'close',
    'length',
    'close',
    'open a.qcow2',
    'length',
    'open a.qcow2',
    'close',
    'open -r a.qcow2',
    'write 0 1',
    'reopen -w',
    'write 0 1',
    'reopen -r',
    'write 0 1',
    'reopen -c foo',
    'reopen foo',
    'reopen -r -w',
    'reopen',
    'read 0 1',
    'close',
    'open',
    'open nonexistent',
    'open -o driver=qcow2,file.filename=a.qcow2',
    'length',
    'close',
    'open -o driver=zz a.qcow2',
    'open -t foo a.qcow2',
    'open -d foo a.qcow2',
    'open a b',
    'open -Z',
    'open -n a.qcow2',
    'read 0 512',
    'close',
    'open -i foo a.qcow2',
    'open -k a.qcow2',
    'open -U a.qcow2',
    'open -rU a.qcow2',
    'close 1',
  ],
  zones: [
    'zone_report',
    'zone_report 0 1',
    'zone_report x 1',
    'zone_open 0 4k',
    'zo 1M 2M',
    'zone_close 0 x',
    'zone_finish 0 4k',
    'zone_reset 10G 4k',
    'zone_append 0 4k',
    'zone_append 0 4k 4k',
    'zone_append 0 3G 1',
    'zap 0 4k x',
    'read -r 0 4k',
    'write -r -P 3 0 4k',
    'write -rz 0 4k',
    'readv -r 0 4k',
    'writev -r 0 4k',
    'aio_write -rz 0 4k',
    'help zone_append',
  ],
  others: [
    'foo',
    '',
    '  ',
    'help foo',
    'help length',
    'help a b',
    'break a b',
    'break a',
    'remove_break a',
    'resume a',
    'sleep 10',
    'sleep',
    'sleep x',
    'sleep 1k',
    'sleep -5',
    'sigraise',
    'sigraise x',
    'wait_break',
    "read 'a b' 1",
    'read 0,1',
    'quit',
    'length',
  ],
};

describe.skipIf(!haveQemu)('io', () => {
  const folders = haveQemu ? new TwoFolders() : undefined;
  const { both, prepare } = {
    both: (args: string[], input?: string) => folders!.both('qemu-io', args, input),
    prepare: (...args: string[]) => folders!.prepare('qemu-img', ...args),
  };

  beforeEach(() => {
    prepare('create', '-q', '-f', 'qcow2', 'a.qcow2', '2M');
    prepare('create', '-q', '-f', 'raw', 'r.raw', '1M');
    folders!.write('pattern.txt', 'abc');
  });
  afterAll(() => folders?.remove());

  for (const [name, commands] of Object.entries(sessions)) {
    test(`prints the same for ${name} commands and leaves the same disk`, async () => {
      const { ours, theirs } = await both(['a.qcow2', ...ioCommands(...commands)]);
      expect(ours.stdout.split('\n')).toEqual(theirs.stdout.split('\n'));
      expect(ours.stderr.split('\n')).toEqual(theirs.stderr.split('\n'));
      expect(ours.status).toBe(theirs.status);
      const compared = await folders!.realTool('qemu-img', 'compare', 'a.qcow2', '../theirs/a.qcow2');
      expect(compared.stdout).toBe('Images are identical.\n');
      const checked = await folders!.realTool('qemu-img', 'check', 'a.qcow2');
      expect(checked).toMatchObject({ status: 0, stderr: '' });
    });
  }

  test.each([
    ['nonexistent', 'read 0 1'],
    ['-f', 'zz', 'a.qcow2', 'read 0 1'],
    ['-t', 'foo', 'a.qcow2', 'length'],
    ['-d', 'foo', 'a.qcow2', 'length'],
    ['-i', 'foo', 'a.qcow2', 'length'],
    ['-k', 'a.qcow2', 'length'],
    ['-n', 'a.qcow2', 'read 0 1'],
    ['-m', 'a.qcow2', 'read 0 1'],
    ['-U', 'a.qcow2', 'length'],
    ['-U', '-r', 'a.qcow2', 'length'],
    ['--object', 'foo', 'a.qcow2', 'length'],
    ['--image-opts', 'driver=qcow2,file.filename=a.qcow2', 'length'],
    ['--image-opts', 'foo', 'length'],
    ['--image-opts', '-f', 'raw', 'foo', 'length'],
    ['r.raw', 'write 0 512'],
    ['-f', 'raw', 'r.raw', 'map'],
    ['-f', 'raw', 'r.raw', 'info'],
    ['-f', 'raw', 'r.raw', 'write -c 0 64k'],
    ['-f', 'raw', 'r.raw', 'truncate 1000'],
    ['-f', 'raw', 'r.raw', 'write 64k 1000'],
  ])('%j', async (...words) => {
    const command = words[words.length - 1]!;
    const { ours, theirs } = await both([...words.slice(0, -1), '-c', command]);
    expect(ours).toEqual(theirs);
  });

  test('refuses every change of a read-only image', async () => {
    const commands = [
      'write 0 1',
      'read 0 1',
      'flush',
      'discard 0 64k',
      'truncate 1M',
      'aio_write 0 1',
      'writev 0 1',
    ];
    const { ours, theirs } = await both(['-r', 'a.qcow2', ...ioCommands(...commands)]);
    expect(ours).toEqual(theirs);
    expect(ours.status).toBe(1);
  });

  test('complains about unknown options as getopt does, and shows its usage', async () => {
    for (const args of [['-Z'], ['--foo'], ['-c'], ['a.qcow2', 'x', '-c', 'length']]) {
      const { ours, theirs } = await both(args);
      expect(ours.stderr).toBe(theirs.stderr);
      expect(ours.status).toBe(theirs.status);
      expect(ours.stdout.startsWith('Usage: qemu-io [OPTIONS]... [-c STRING]... [file]\n')).toBe(true);
    }
  });

  test('lists its commands in the same words', async () => {
    const { ours, theirs } = await both(['-c', 'help']);
    expect(ours.stdout.split('\n')).toEqual(theirs.stdout.split('\n'));
  });

  test.each([
    'length\nread 0 512\nfoo\n\nwrite "0" 512\nquit\nlength\n',
    'length\nreadd',
    '',
    'length\n  read   0   1\nread\t0 1\naio_read 0 1\naio_flush\nread 0 x\n',
    'read 0 x\nread 0 1\n',
  ])('prompts for commands: %j', async (input) => {
    const { ours, theirs } = await both(['a.qcow2'], input);
    expect(ours).toEqual(theirs);
  });
});
