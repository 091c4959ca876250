/**
 * blkdebug against the real qemu-io: the same rules and the same requests give the same successes and failures, and
 * mistakes in rules the same messages.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { ioCommands } from '../support/qemu.ts';
import { haveQemu } from '../support/tools.ts';

const inject = (members: Record<string, string | number>): string => section('inject-error', members);
const setState = (members: Record<string, string | number>): string => section('set-state', members);

function section(name: string, members: Record<string, string | number>): string {
  const lines = Object.entries(members).map(([key, value]) => `${key} = "${value}"\n`);
  return `[${name}]\n${lines.join('')}`;
}

const everyKind = ioCommands(
  'read 0 512',
  'read 512 512',
  'write 0 512',
  'write -z 0 512',
  'discard 0 512',
  'flush',
  'read 0 4k',
  'map',
);

const rules: Record<string, string> = {
  'no rule': '',
  'the first of two rules': inject({ event: 'none', errno: 1 }) + inject({ event: 'none', errno: 2 }),
  'a rule that passes what later rules fail':
    inject({ event: 'none', errno: 0, sector: 0 }) + inject({ event: 'none', errno: 28 }),
  'a rule that comes too late to pass':
    inject({ event: 'none', errno: 28 }) + inject({ event: 'none', errno: 0, sector: 0 }),
  'a state that the opening changes':
    setState({ event: 'none', new_state: 3 }) + inject({ event: 'none', state: 3 }),
  'a rule of another state': inject({ event: 'none', state: 2 }),
  'a rule of the first state': inject({ event: 'none', state: 1, errno: 28 }),
  once: inject({ event: 'none', once: 'on' }),
  'once, of two': inject({ event: 'none', once: 'yes', errno: 1 }) + inject({ event: 'none', once: 'on' }),
  immediately: inject({ event: 'none', immediately: 'on' }),
  'a sector': inject({ event: 'none', sector: 1 }),
  'a sector of no request': inject({ event: 'none', sector: 9 }),
  'reads only': inject({ event: 'none', iotype: 'read' }),
  'writes only': inject({ event: 'none', iotype: 'write' }),
  'zero writes only': inject({ event: 'none', iotype: 'write-zeroes' }),
  'discards only': inject({ event: 'none', iotype: 'discard' }),
  'flushes only': inject({ event: 'none', iotype: 'flush' }),
  'block status': inject({ event: 'none', iotype: 'block-status' }),
  'hexadecimal numbers': inject({ event: 'none', errno: '0x1c' }),
  'comments and text behind values':
    '# x\n\n[inject-error]\n event = "none"   # comment\nsector = "1"x\n\n[set-state]x\nevent = "none"\n',
  'a value that is set twice': inject({ event: 'none', once: 'on' }).concat('once = "off"\n'),
  'what a write tells': inject({ event: 'pwritev' }),
  'what the end of a write tells': inject({ event: 'pwritev_done' }),
  'what a zero write tells': inject({ event: 'pwritev_zero' }),
  'reads of a format': inject({ event: 'read_aio' }),
  'writes of a format': inject({ event: 'write_aio' }),
  'a flush to the host': inject({ event: 'flush_to_os' }),
  'the first of two changes of state':
    setState({ event: 'read_aio', new_state: 3 }) +
    setState({ event: 'read_aio', new_state: 4 }) +
    inject({ event: 'write_aio', state: 3, errno: 28 }) +
    inject({ event: 'write_aio', state: 4, errno: 1 }),
  'states that follow one another':
    setState({ event: 'read_aio', state: 1, new_state: 2 }) +
    setState({ event: 'read_aio', state: 2, new_state: 3 }) +
    inject({ event: 'write_aio', state: 3, once: 'on' }),
};

const mistakes: Record<string, string> = {
  'no event': inject({ errno: 28 }),
  'no event to change state at': setState({ new_state: 2 }),
  'an unknown event': inject({ event: 'nonee' }),
  'an unknown kind': inject({ event: 'none', iotype: 'block_status' }),
  'an unknown key': inject({ evnt: 'none' }),
  'an unknown section': '[inject-errors]\nevent = "none"\n',
  'a section with a word too much': '[inject-error x]\nevent = "none"\n',
  'a section without an end': '[inject-error\nevent = "none"\n',
  'the same identifier twice': '[inject-error "x"]\nevent = "none"\n[inject-error "x"]\nevent = "none"\n',
  'no section': 'event = "none"\n',
  'a section that does not start its line': '\t[inject-error]\nevent = "none"\n',
  'a line of blanks': '   \n[inject-error]\n',
  'a value without quotes': '[inject-error]\nevent = none\n',
  'a key without blanks': '[inject-error]\nevent="none"\n',
  'no key': '[inject-error]\nevent = "none"\n = 5\n',
  'a bad number': inject({ event: 'none', state: 'x' }),
  'an empty number': inject({ event: 'none', sector: '' }),
  'a bad new state': setState({ event: 'none', new_state: 'x' }),
  'a bad switch': inject({ event: 'none', once: '1' }),
};

describe.skipIf(!haveQemu)('blkdebug fails what real blkdebug fails', () => {
  const folders = haveQemu ? new TwoFolders() : undefined;
  afterAll(() => folders?.remove());

  beforeAll(() => {
    folders!.prepare('qemu-img', 'create', '-q', '-f', 'raw', 'base', '1M');
  });

  async function compare(args: string[]): Promise<void> {
    const { ours, theirs } = await bothHere(folders!, 'qemu-io', args);
    expect(ours).toEqual(theirs);
  }

  function freshImage(format: string, ...options: string[]): void {
    folders!.prepare('qemu-img', 'create', '-q', '-f', format, ...options, 'image', '1M');
  }

  test.each(Object.entries(rules))('%s', async (_, text) => {
    freshImage('raw');
    folders!.write('rules', text);
    await compare(['-f', 'raw', ...everyKind, 'blkdebug:rules:image']);
  });

  test.each(Object.entries(rules))('%s, in writeback mode, without a format', async (_, text) => {
    freshImage('raw');
    folders!.write('rules', text);
    const options = 'driver=blkdebug,config=rules,image.driver=file,image.filename=image';
    await compare(['-t', 'writeback', ...everyKind, '--image-opts', options]);
  });

  test.each(Object.entries(mistakes))('not, with %s', async (_, text) => {
    freshImage('raw');
    folders!.write('rules', text);
    await compare(['-f', 'raw', '-c', 'read 0 512', 'blkdebug:rules:image']);
  });

  const events = {
    allocating: [
      ...['cluster_alloc', 'write_aio', 'l2_load', 'l2_update', 'l2_alloc_write', 'l1_update'],
      ...['refblock_load', 'refblock_update_part', 'read_aio', 'pwritev', 'flush_to_os', 'flush_to_disk'],
    ],
    copying: ['cow_read', 'read_backing_aio', 'write_aio', 'cluster_alloc', 'read_aio', 'cow_write'],
    compressed: ['write_compressed', 'read_compressed', 'cluster_alloc_bytes', 'write_aio'],
  };

  // Where QEMU writes tables at other times than we do, only the outcome after a flush is the same.
  const atOtherTimes = [
    ...['l2_load', 'l2_update', 'l2_alloc_write', 'l1_update', 'refblock_update_part', 'refblock_load'],
    'flush_to_disk',
  ];

  test('a flush to the disk', async () => {
    freshImage('raw');
    folders!.write('rules', inject({ event: 'flush_to_disk', once: 'on' }));
    const requests = ioCommands(
      'write 0 512',
      'flush',
      'read 0 512',
      'flush',
      'write 0 512',
      'flush',
      'read 0 512',
    );
    await compare(['-t', 'writeback', '-f', 'raw', ...requests, 'blkdebug:rules:image']);
  });

  /** One qemu-io after a fault at the event was asked for; `backing` are options of the image. */
  async function compareWithFault(event: string, requests: string[], ...backing: string[]): Promise<void> {
    freshImage('qcow2', ...backing);
    folders!.write('rules', inject({ event, errno: 28, once: 'on' }));
    await compare([...requests, 'blkdebug:rules:image']);
  }

  test.each(events.allocating.filter((event) => !atOtherTimes.includes(event)))(
    'a first write of a qcow2 image at %s',
    async (event) => {
      const requests = ioCommands('write -P 1 0 64k', 'read -P 1 0 64k', 'write -P 2 0 4k', 'read -P 2 0 4k');
      await compareWithFault(event, requests);
    },
  );

  test.each(events.copying)('a copying write of a qcow2 image at %s', async (event) => {
    folders!.prepare('qemu-io', '-f', 'raw', '-c', 'write -P 7 0 1M', 'base');
    const requests = ioCommands(
      'read -P 7 128k 64k',
      'write -P 1 4k 4k',
      'write -P 1 4k 4k',
      'read -P 1 4k 4k',
      'read -P 7 8k 4k',
    );
    await compareWithFault(event, requests, '-b', 'base', '-F', 'raw');
  });

  test.each(events.compressed)('a compressed write of a qcow2 image at %s', async (event) => {
    // Of a cluster whose write failed QEMU keeps a mapping to nothing.
    const requests = ioCommands(
      'write -c -P 1 0 64k',
      'write -c -P 2 64k 64k',
      'read -P 2 64k 64k',
      'read -P 2 64k 64k',
    );
    await compareWithFault(event, requests);
  });

  test.each([
    'align=1000',
    'align=4096,max-transfer=1000',
    'align=4096,opt-write-zero=1000',
    'max-write-zero=1000',
    'opt-discard=1000',
    'align=512,max-discard=100',
    'align=4294967296',
    'align=1073741824',
    'align=3221225472',
    'max-transfer=4294967296',
    'align=4096,max-transfer=8192,opt-write-zero=16384,max-write-zero=65536',
    'take-child-perms.0=write',
    'inject-error.0.event=none,inject-error.0.once=on',
    'inject-error.0.event=none,inject-error.0.errno=28,inject-error.1.event=none,inject-error.1.errno=1',
    'set-state.0.event=pwritev,set-state.0.new_state=2,inject-error.0.event=pwritev,inject-error.0.state=2',
    'config=absent',
  ])('with the options %s', async (options) => {
    freshImage('raw');
    const base = 'driver=blkdebug,image.driver=file,image.filename=image';
    const requests = ioCommands(
      'write -P 3 0 1M',
      'write -P 1 100 5000',
      'write -z 1000 50000',
      'read -v 4090 16',
    );
    await compare([
      ...requests,
      ...ioCommands('read -P 0 1000 50000', 'map'),
      '--image-opts',
      `${base},${options}`,
    ]);
  });

  test.each([
    [
      'break write_aio A',
      'aio_write 0 4k',
      'wait_break A',
      'resume A',
      'aio_flush',
      'aio_write 0 4k',
      'aio_flush',
    ],
    [
      'break write_aio A',
      'break write_aio B',
      'aio_write 0 4k',
      'wait_break A',
      'resume A',
      'wait_break B',
      'resume B',
      'aio_flush',
    ],
    [
      'break write_aio A',
      'break write_aio A',
      'aio_write 0 4k',
      'wait_break A',
      'resume A',
      'wait_break A',
      'resume A',
      'aio_flush',
    ],
    ['break write_aio A', 'aio_write 0 4k', 'wait_break A', 'remove_break A', 'aio_flush'],
    ['break write_aio A', 'remove_break A', 'remove_break A', 'write 0 4k'],
    ['break foo A', 'resume A', 'remove_break A', 'break pwritev_done'],
    ['write 0 4k', 'break read_aio A', 'aio_read 0 4k', 'wait_break A', 'resume B', 'resume A', 'aio_flush'],
    ['break cluster_alloc A', 'aio_write 0 4k', 'wait_break A', 'sleep 10', 'resume A', 'aio_flush'],
  ])('and holds what real blkdebug holds: %s, %s, %s', async (...lines) => {
    freshImage('qcow2');
    await compare([...ioCommands(...lines), 'blkdebug::image']);
  });

  test.each([
    'blkdebug:image',
    'blkdebug:',
    'blkdebug::',
    'blkdebug::absent',
    'blkdebug:absent:image',
    'blkdebug::image',
    'json:{"driver":"blkdebug"}',
    'json:{"driver":"blkdebug","image":"x"}',
    'json:{"driver":"blkdebug","config":"","image":{"driver":"file","filename":"image"}}',
    'json:{"driver":"blkdebug","config":"rules","image":{"driver":"file","filename":"image"}}',
    'json:{"driver":"blkdebug","config":"rules","align":512,"image":{"driver":"file","filename":"image"}}',
    'json:{"driver":"blkdebug","image":{"driver":"file","filename":"image"},"inject-error":[{"event":"read_aio"}]}',
    'json:{"driver":"blkdebug","image":{"driver":"raw","file":{"driver":"file","filename":"image"}}}',
    'json:{"driver":"raw","file":{"driver":"blkdebug","image":{"driver":"file","filename":"image"}}}',
  ])('is named as the real one: %s', async (name) => {
    freshImage('raw');
    folders!.write('rules', '');
    const { ours, theirs } = await folders!.both('qemu-img', ['info', name]);
    expect(ours).toEqual(theirs);
  });
});
