/** Programs on a terminal of their own (util-linux's `script`): each key comes as it is typed, and is shown once. */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveScript } from '../support/tools.ts';

const scratch = scratchDirectory();
const patient = { timeout: 20_000 };
const command = (...words: string[]): string => [process.execPath, bundle, ...words].join(' ');

class Terminal {
  shown = '';
  private readonly child: ChildProcessByStdio<Writable, Readable, null>;

  constructor(line: string) {
    this.child = spawn('script', ['-qfec', line, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdout.setEncoding('latin1').on('data', (text: string) => {
      this.shown += text;
    });
  }

  type(text: string): void {
    this.child.stdin.write(text, 'latin1');
  }

  async shows(text: string): Promise<void> {
    await expect.poll(() => this.shown, patient).toContain(text);
  }

  /** Gives the exit status, as shells count it. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    return ((await once(this.child, 'exit')) as [number | null])[0];
  }

  kill(): void {
    if (this.child.exitCode === null) this.child.kill();
  }
}

describe.skipIf(!haveScript)('on a terminal', () => {
  let terminal: Terminal;

  beforeAll(() => {
    const image = ['img', 'create', '-q', '-f', 'qcow2', scratch('disk.qcow2'), '1M'];
    expect(spawnSync(process.execPath, [bundle, ...image]).status).toBe(0);
  });

  afterEach(() => terminal.kill());

  test('the monitor edits its line, and leaves the terminal as it was', async () => {
    terminal = new Terminal(`${command('system', '-monitor', 'stdio')}; stty -a`);
    await terminal.shows('(qemu) ');
    terminal.type('info statos\x7f\x7fus\r');
    await terminal.shows('VM status: running\r');
    terminal.type('\x1b[A');
    await terminal.shows('(qemu) info status\x1b[K');
    expect(terminal.shown).toContain('(qemu) i\x1b[K\x1b[Din\x1b[K');
    terminal.type('\x17\x17quit\r');
    await terminal.shows(' icanon ');
    expect(terminal.shown).toMatch(/ echo /);
    expect(await terminal.ended()).toBe(0);
  });

  test('Ctrl-C ends a program whose monitor has it', async () => {
    terminal = new Terminal(command('system', '-monitor', 'stdio'));
    await terminal.shows('(qemu) ');
    terminal.type('\x03');
    expect(await terminal.ended()).toBe(0);
  });

  test('QMP is typed in lines', async () => {
    terminal = new Terminal(command('storage-daemon', '--chardev', 'stdio,id=c', '--monitor', 'c'));
    await terminal.shows('{"QMP"');
    terminal.type('{"execute": "qmp_capabilitiez\x7fs"}\r');
    await terminal.shows('{"return": {}}');
    terminal.type('{"execute": "quit"}\r');
    expect(await terminal.ended()).toBe(0);
  });

  test('the guest of vm gets every key, and its monitor is a Ctrl-A c away', async () => {
    terminal = new Terminal(command('vm', '-nographic', '-hda', scratch('disk.qcow2')));
    await terminal.shows('> ');
    terminal.type('\x03help\r');
    await terminal.shows('> \x03help\r');
    terminal.type('\x01c');
    await terminal.shows('(qemu) ');
    terminal.type('info status\r');
    await terminal.shows('VM status: running');
    terminal.type('\x01x');
    await terminal.shows('QEMU: Terminated');
    expect(await terminal.ended()).toBe(0);
  });

  test('io has a history, completes its commands, and Ctrl-D ends it', async () => {
    terminal = new Terminal(command('io', scratch('disk.qcow2')));
    await terminal.shows('blockyard io> ');
    terminal.type('len');
    await terminal.shows('len');
    terminal.type('\t');
    await terminal.shows('length');
    terminal.type('\r');
    await terminal.shows('1 MiB');
    terminal.shown = '';
    terminal.type('\x1b[A');
    await terminal.shows('length');
    terminal.type('\r');
    await terminal.shows('1 MiB');
    terminal.type('\x04');
    expect(await terminal.ended()).toBe(0);
  });
});
