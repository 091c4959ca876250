import { describe, expect, test } from 'vitest';
import { drivers } from '../../host/drivers.ts';
import { introspect } from '../../host/qapi/introspect.ts';
import { machineCommands } from '../../host/qmp/commands/machine.ts';
import { events } from '../../host/qmp/events.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { asLines, help, infoNames } from '../../host/web/console-commands.ts';
import { Completer, parseLine } from '../../host/web/console-completion.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const server = new QmpServer({ platform: new VirtualPlatform(), drivers, commands: machineCommands });
const completer = new Completer(introspect(server.commands.list(), events));
const texts = (line: string): string[] => completer.complete(line).map(({ text }) => text);

describe('completion', () => {
  test('offers commands: those that begin so, then those that have it inside', () => {
    expect(texts('query-bl')).toEqual([
      'query-block',
      'query-block-jobs',
      'query-blockstats',
      'x-debug-query-block-graph',
      'x-query-block-failures',
    ]);
    expect(texts('')).toContain('blockdev-add');
  });

  test('offers the arguments that are not there yet', () => {
    const all = texts('blockdev-backup ');
    expect(all).toContain('target=');
    expect(texts('blockdev-backup target=x ')).toEqual(all.filter((text) => text !== 'target='));
    expect(completer.complete('blockdev-backup comp')).toEqual([
      { text: 'compress=', hint: 'boolean, optional' },
    ]);
  });

  test('offers the values of enumerations and booleans', () => {
    expect(texts('blockdev-backup sync=in')).toEqual(['sync=incremental']);
    expect(texts('blockdev-backup compress=')).toEqual(['compress=true', 'compress=false']);
  });

  test.each(['{"execute": "q', 'no-such-command ', 'query-block x=', 'blockdev-backup target='])(
    'has nothing to offer for %j',
    (line) => expect(texts(line)).toEqual([]),
  );
});

describe('a line', () => {
  test.each([
    ['query-block', { command: 'query-block', args: {} }],
    ['job-pause id=a', { command: 'job-pause', args: { id: 'a' } }],
    [
      'block_resize  device=d size=1048576',
      { command: 'block_resize', args: { device: 'd', size: 1048576 } },
    ],
    ['x a={"b":[1,2]} c="d e"', { command: 'x', args: { a: { b: [1, 2] }, c: 'd e' } }],
    ['{"execute": "stop"}', { command: 'stop', args: {} }],
    ['{"execute": "x", "arguments": {"y": 1}}', { command: 'x', args: { y: 1 } }],
  ])('%j is understood', (line, expected) => expect(parseLine(line)).toEqual(expected));

  test.each(['x y', 'x =1', '{}', '{"execute"'])('%j is refused', (line) =>
    expect(() => parseLine(line)).toThrow(),
  );
});

describe('help and info', () => {
  test('are completed as commands are', () => {
    expect(texts('he')).toContain('help');
    expect(texts('help query-stat')).toEqual(['query-status']);
    expect(texts('info bl')).toEqual(['block', 'block-jobs', 'blockstats']);
    expect(texts('info block x')).toEqual([]);
  });

  test('tell all commands, the arguments of one, and that there is none', () => {
    expect(help(completer, undefined)).toContain('blockdev-add');
    expect(help(completer, 'job-pause')).toMatch(/^job-pause\n {2}id=string$/);
    expect(help(completer, 'stop')).toBe('stop: no arguments');
    expect(() => help(completer, 'nothing')).toThrow('The command nothing has not been found');
    expect(infoNames(completer.commands)).toContain('status');
  });

  test('show an answer as lines', () => {
    const answer = [{ device: 'a', inserted: { ro: false, children: [] } }, { device: 'b' }];
    expect(asLines(answer)).toBe(
      ['- device: a', '  inserted:', '    ro: false', '    children: (none)', '- device: b'].join('\n'),
    );
    expect(asLines([])).toBe('(none)');
    expect(asLines('x')).toBe('x');
  });
});
