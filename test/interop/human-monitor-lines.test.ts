/**
 * Odd lines for the human monitor, generated, and what QEMU's answers to them: names, flags, quotes, expressions and sizes in all
 * places where commands about storage take them. HMP_LINES sets how many seeds there are, each a session; HMP_SEED the first.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { bundle } from '../support/cli.ts';
import { type Message, runScript, startProgram, startQemu } from '../support/qmp-sessions.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { testSeeds } from '../support/seeds.ts';
import { haveQemuSystem } from '../support/tools.ts';

const count = Number(process.env['HMP_LINES'] ?? 4);
const first = Number(process.env['HMP_SEED'] ?? 1);
const linesPerSession = 60;

const options = [
  '-machine',
  'none',
  '-drive',
  'if=none,id=a,file=a.qcow2',
  '-drive',
  'if=none,id=b,file=b.raw,format=raw,read-only=on',
];

/** Commands with the kinds of their arguments. None of them waits for anything. */
const shapes = [
  ['info block', '-n', '-v', 'device'],
  ['info block-jobs'],
  ['info qtree', '-b'],
  ['info qom-tree', 'path'],
  ['info status'],
  ['help zz', 'command'],
  ['help eject', 'command'],
  ['help info', 'topic'],
  ['block_resize', 'device', 'size'],
  ['block_set_io_throttle', 'device', 'int', 'int', 'int', 'int', 'int', 'int'],
  ['block_job_set_speed', 'device', 'size'],
  ['block_job_pause', 'device'],
  ['block_job_cancel', '-f', 'device'],
  ['eject', '-f', 'device'],
  ['commit', 'device'],
  ['drive_del', 'missing'],
  ['snapshot_blkdev_internal', 'device', 'missing'],
  ['snapshot_delete_blkdev_internal', 'device', 'missing', 'missing'],
  ['trace-event', 'missing', 'switch', 'int'],
  ['qom-get', 'path', 'missing'],
  ['qom-list', 'path'],
  ['qemu-io', '-d', 'device', 'io'],
  ['device_del', 'missing'],
  ['object_del', 'missing'],
] as const;

class Lines {
  constructor(private readonly random: Seeded) {}

  line(): string {
    const { random } = this;
    const [name, ...kinds] = random.pick(shapes as readonly (readonly [string, ...string[]])[]);
    const words = kinds.map((kind) => this.quoted(this.word(kind)));
    const all = [this.odd(name, () => name.toUpperCase()), ...words].filter((word) => word !== '');
    if (random.below(12) === 0) all.splice(1 + random.below(all.length), 0, this.word('missing'));
    // There is more help, and more in a machine, than here.
    const showsAll = name.startsWith('help') || name.endsWith('-tree');
    if (random.below(12) === 0 && !showsAll) all.pop();
    return all.join(random.pick([' ', ' ', ' ', '  ', '\t'])) + random.pick(['', '', '', ' ']);
  }

  private word(kind: string): string {
    const { random } = this;
    if (kind.startsWith('-')) return random.pick(['', '', kind, kind, '-x', '-', '--']);
    switch (kind) {
      case 'device':
        return random.pick(['a', 'a', 'b', 'zz', '']);
      case 'path':
        return random.pick(['/objects', 'nosuch', '/machine/peripheral', '/nosuch']);
      case 'command':
        return random.pick(['eject', 'info', 'block', 'zz', '?', 'quit', 'block-jobs', '']);
      case 'topic':
        return random.pick(['block', 'block-jobs', 'zz', 'info', 'qtree']);
      case 'switch':
        return random.pick(['on', 'off', 'onoff', '1', 'ON', '']);
      case 'io':
        return random.pick(['"length"', '"zz"', '"alloc 0 64k"', '"read -x"', 'length', '""', '']);
      case 'size':
        return this.size();
      case 'int':
        return this.expression(2);
      default:
        return random.pick(['x', 'zz', 'a-b', '']);
    }
  }

  /** None that makes a disk large, or waits for its zeros. */
  private size(): string {
    const { random } = this;
    const number = random.pick([
      '1',
      '2',
      '0.5',
      '.5',
      '1.25',
      '0x1',
      '1.',
      '.',
      '-1',
      '+3',
      'x',
      '01',
      '1e1',
      '',
    ]);
    return number + random.pick(['', '', 'M', 'm', 'K', 'b', 'B', 'x', 'Z', 'MM', 'E9']);
  }

  private expression(depth: number): string {
    const { random } = this;
    if (depth === 0 || random.below(3) === 0) {
      return random.pick(
        ['0', '0', '1', '7', '010', '08', '0x1f', '0x', "'a'", "''", '$zz', '!', '18446744073709551616', '-3', '1k'], // biome-ignore format: one list
      );
    }
    const left = this.expression(depth - 1);
    const right = this.expression(depth - 1);
    const operator = random.pick(['+', '-', '*', '/', '%', '&', '|', '^', ' + ', '**', ',']);
    return random.pick([`${left}${operator}${right}`, `(${left}${operator}${right})`, `~${left}`, `-${left}`, `(${left}`]); // biome-ignore format: one list
  }

  private quoted(word: string): string {
    if (word.startsWith('"')) return word;
    return this.odd(word, () =>
      this.random.pick([`"${word}"`, `"${word}`, `'${word}'`, `"${word}"x`, `"\\${word}"`, `\\${word}`]),
    );
  }

  private odd(word: string, change: () => string): string {
    return this.random.below(10) === 0 ? change() : word;
  }
}

/** Without what chance and time decide. */
function comparable(message: Message): Message {
  const text = JSON.stringify(message)
    .replace(/#block\d+/g, '#block')
    .replace(/disk size: [\d.]+ \w+/g, 'disk size')
    .replace(/[\d-]{10} [\d:]{8} +[\d:.]+/g, 'time');
  return JSON.parse(text) as Message;
}

describe.skipIf(!haveQemuSystem)('the human monitor answers as QEMU to odd lines', () => {
  const scratch = scratchDirectory();

  testSeeds({ first, count, batch: 1 }, async (seed) => {
    const generator = new Lines(new Seeded(seed));
    const lines = Array.from({ length: linesPerSession }, () => generator.line());
    const steps = lines.map((line) => ({
      execute: 'human-monitor-command',
      arguments: { 'command-line': line },
    }));
    const answers = await Promise.all(
      ['real', 'ours'].map(async (side) => {
        const folder = scratch(`${side}${seed}`);
        mkdirSync(folder);
        const make = 'qemu-img create -q -f qcow2 a.qcow2 1M && qemu-img create -q -f raw b.raw 1M';
        execFileSync('sh', ['-ec', make], { cwd: folder, stdio: 'pipe', timeout: 20_000 });
        const ours = [bundle, 'system', '-nodefaults', '-display', 'none', '-qmp', 'stdio', ...options];
        const session =
          side === 'real' ? startQemu(folder, options) : startProgram(process.execPath, ours, folder);
        try {
          const messages = await runScript(session, steps);
          return messages.filter(({ event }) => event === undefined).map(comparable);
        } finally {
          await session.close();
        }
      }),
    );
    const [theirs, ours] = answers.map((messages) => described(messages, lines));
    expect(ours).toEqual(theirs);
  });
});

/** What was printed belongs to the line that is answered next. The first answer is the capabilities'. */
function described(messages: readonly Message[], lines: readonly string[]): string[] {
  const texts: string[] = [];
  let printed = '';
  for (const message of messages) {
    if ('printed' in message) printed += `${String(message['printed'])}\n`;
    else {
      texts.push(`${printed}${JSON.stringify(message)}`);
      printed = '';
    }
  }
  return texts.slice(1).map((text, i) => `${lines[i]} => ${text}`);
}
