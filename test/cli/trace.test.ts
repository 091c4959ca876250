/** `--trace` in our own programs: where the log goes, and that a monitor's clients have a say in it. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { beforeAll, describe, expect, test } from 'vitest';
import { tracer } from '../../host/trace/events.ts';
import { bundle } from '../support/cli.ts';
import { runOwn } from '../support/own-tools.ts';
import { scratchDirectory } from '../support/scratch.ts';

const path = scratchDirectory();
const read = ['-c', 'read 0 4k', '--image-opts', 'driver=null-co,node-name=n,size=1M'];

const log = (name: string): string => readFileSync(path(name), 'utf8');

describe('the log', () => {
  test('is a line for each event, on standard error', async () => {
    const { stderr, status } = await runOwn('qemu-io', ['-T', 'block_re*', '--trace', 'core_*', ...read]);
    expect(stderr).toMatch(/^block_read node n offset 0 bytes 4096 flags none result ok us \d+\n$/);
    expect(status).toBe(0);
  });

  test('is asked for behind a command of img, too, but not of the real one', async () => {
    const args = ['map', '--trace', 'block_status', '--image-opts', 'driver=null-co,node-name=n,size=1M'];
    const own = await runOwn('blockyard img', args);
    expect(own.stderr).toMatch(/^block_status node n offset 0 bytes 1048576 /);
    expect(own.status).toBe(0);
    const theirs = await runOwn('qemu-img', args);
    expect(theirs.stderr).toContain("unrecognized option '--trace'");
  });

  test('is the file that was named last', async () => {
    await runOwn('qemu-io', ['-T', `block_read,file=${path('a')}`, '-T', `file=${path('b')}`, ...read]);
    expect(existsSync(path('a'))).toBe(false);
    expect(log('b')).toMatch(/^block_read .*\n$/);
    await runOwn('qemu-io', ['-T', `file=${path('b')}`, ...read]);
    expect(log('b')).toBe('');
  });

  test('has the process in the name of its file', async () => {
    await runOwn('qemu-io', ['-T', `block_read,file=${path('p-%d')}`, ...read]);
    expect(log(`p-${process.pid}`)).toMatch(/^block_read /);
  });

  test('has what a file of events says, in its order', async () => {
    writeFileSync(path('events'), '# comment\n\nblock_*\n-block_read\nblock_fl*');
    const { stderr } = await runOwn('qemu-io', ['-T', `events=${path('events')}`, '-c', 'flush', ...read]);
    expect(stderr).toMatch(/^block_flush /m);
    expect(stderr).not.toMatch(/^block_read /m);
  });

  test('ends with the tool', async () => {
    await runOwn('qemu-io', ['-T', '*', ...read]);
    expect(tracer.find('*').some(({ selected, enabled }) => selected || enabled)).toBe(false);
    expect((await runOwn('qemu-io', read)).stderr).toBe('');
  });
});

test('help lists the events', async () => {
  for (const word of ['help', '?', 'enable=help']) {
    const { stdout, status } = await runOwn('qemu-img', ['-T', word, 'info', 'nowhere']);
    expect(stdout.split('\n')).toEqual([...tracer.find('*').map(({ name }) => name), '']);
    expect(status).toBe(0);
  }
});

describe('every program', () => {
  beforeAll(() => {
    if (!existsSync(bundle)) throw new Error('dist/blockyard.cjs is missing: run `npm run build` first');
  });

  async function run(...args: string[]): Promise<{ out: string; errors: string; status: number | null }> {
    const child = spawn(process.execPath, [bundle, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { out, errors, status: await ended };
  }

  test.each([
    ['img', '--trace'],
    ['io', '--trace'],
    ['storage-daemon', '--trace'],
    ['system', '-trace'],
    ['vm', '-trace'],
    ['web', '--trace'],
    ['demo', '--trace'],
  ] as const)('%s has the option, and its help says so', async (program, option) => {
    const list = await run(program, option, 'help');
    expect(list).toMatchObject({ errors: '', status: 0 });
    expect(list.out).toMatch(/^block_read$/m);
    const help = await run(program, program === 'system' || program === 'vm' ? '-help' : '--help');
    expect(help.out).toContain(option);
    expect(help.status).toBe(0);
  });

  test('that is a machine can say when', async () => {
    const image = ['-blockdev', 'qcow2,node-name=n,file.driver=null-co,file.read-zeroes=on'];
    const { errors } = await run('system', '-msg', 'timestamp=on', '-trace', 'block_read', ...image);
    const [first, last] = [errors.split('\n')[0]!, errors.split('\n').at(-2)!];
    expect(first).toMatch(/^\d+@\d{10}\.\d{6}:block_read node #block\d+ /);
    expect(last).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z blockyard system: -blockdev qcow2/);
    const seconds = [Number(/@(\d+)/.exec(first)![1]), Date.parse(last.split(' ')[0]!) / 1000];
    for (const when of seconds) expect(Math.abs(when - Date.now() / 1000)).toBeLessThan(60);
  });

  test('that has a monitor has the log for what clients choose', async () => {
    const node = 'null-co,node-name=n,size=1048576';
    const child = spawn(process.execPath, [
      bundle,
      ...['storage-daemon', '--chardev', 'stdio,id=c', '--monitor', 'c', '--blockdev', node],
    ]);
    const errors = text(child.stderr);
    child.stdout.resume();
    const commands = [
      { execute: 'qmp_capabilities' },
      { execute: 'trace-event-set-state', arguments: { name: 'block_drain_begin', enable: true } },
      { execute: 'quit' },
    ];
    child.stdin.end(commands.map((command) => JSON.stringify(command)).join('\n'));
    expect(await errors).toMatch(/^block_drain_begin node n\n/);
  });
});
