/** Choosing events by name or pattern, and telling of them. */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { TraceRecord } from '../../host/trace/event.ts';
import { Tracer } from '../../host/trace/tracer.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const { clock } = new VirtualPlatform();

function makeTracer() {
  const tracer = new Tracer();
  const events = ['disk_read', 'disk_write', 'job_start'].map((name) =>
    tracer.define(name, 'node %s bytes %d'),
  );
  return { tracer, events, enabled: () => events.filter((event) => event.enabled).map(({ name }) => name) };
}

const names = (found: readonly { name: string }[]): string[] => found.map(({ name }) => name);

describe('patterns', () => {
  test.each([
    ['disk_read', ['disk_read']],
    ['disk_*', ['disk_read', 'disk_write']],
    ['*', ['disk_read', 'disk_write', 'job_start']],
    ['**', ['disk_read', 'disk_write', 'job_start']],
    ['*r*t*', ['disk_write', 'job_start']],
    ['*_?????', ['disk_write', 'job_start']],
    ['?isk_read', ['disk_read']],
    ['disk_read*', ['disk_read']],
    ['disk_read?', []],
    ['*read_', []],
    ['DISK_*', []],
    ['disk', []],
    ['d[i]sk_read', []],
    ['', []],
  ] as const)('%s', (pattern, expected) => {
    expect(names(makeTracer().tracer.find(pattern))).toEqual(expected);
  });

  test('cost no more than the product of their length and that of a name', () => {
    const tracer = new Tracer();
    tracer.define(`${'a'.repeat(1000)}b`, 'node %s');
    expect(tracer.find(`${'*a'.repeat(900)}*c`)).toEqual([]);
  });
});

describe('events', () => {
  test('are enabled while they are selected and somebody is told', () => {
    const { tracer, enabled } = makeTracer();
    expect(tracer.select('disk_*', true)).toBe(true);
    expect(enabled()).toEqual([]);
    const detach = tracer.attach(() => {}, clock);
    expect(enabled()).toEqual(['disk_read', 'disk_write']);
    tracer.select('disk_read', false);
    expect(enabled()).toEqual(['disk_write']);
    detach();
    expect(enabled()).toEqual([]);
  });

  test('are forgotten with the last who is told, and no earlier', () => {
    const { tracer, events, enabled } = makeTracer();
    const first = tracer.attach(() => {}, clock, ['job_start']);
    const second = tracer.attach(() => {}, clock);
    first();
    first();
    expect(enabled()).toEqual(['job_start']);
    second();
    expect(events.some(({ selected }) => selected)).toBe(false);
  });

  test('that there are not are no error in a pattern, and one by name', () => {
    const { tracer } = makeTracer();
    expect(tracer.select('nosuch*', true)).toBe(true);
    expect(tracer.select('nosuch', true)).toBe(false);
    expect(() => tracer.attach(() => {}, clock, ['nosuch'])).toThrow(BlockError);
    expect(() => tracer.attach(() => {}, clock, ['*', 'nosuch'])).toThrow(
      "trace event 'nosuch' does not exist",
    );
    expect(tracer.find('*').some(({ selected }) => selected)).toBe(false);
  });

  test('are told to all, with the time', () => {
    const { tracer, events } = makeTracer();
    const told: TraceRecord[] = [];
    tracer.attach((record) => told.push(record), clock, ['*']);
    tracer.attach((record) => told.push(record), clock);
    events[0]!.emit({ node: 'a', bytes: 512 });
    expect(told).toHaveLength(2);
    expect(told[0]).toEqual({
      event: 'disk_read',
      args: { node: 'a', bytes: 512 },
      time: clock.wallClock(),
      line: 'disk_read node a bytes 512',
    });
  });

  test('quote what could be taken for something else', () => {
    const { tracer, events } = makeTracer();
    const lines: string[] = [];
    tracer.attach(({ line }) => lines.push(line), clock, ['*']);
    for (const node of ['#block1', '', 'a b', 'x\ndisk_read node y', '"'])
      events[0]!.emit({ node, bytes: 1 });
    expect(lines).toEqual([
      'disk_read node #block1 bytes 1',
      'disk_read node "" bytes 1',
      'disk_read node "a b" bytes 1',
      'disk_read node "x\\ndisk_read node y" bytes 1',
      'disk_read node "\\"" bytes 1',
    ]);
  });
});
