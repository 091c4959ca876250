/** Watching through the library on Node, and by node:diagnostics_channel. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterEach, expect, test } from 'vitest';
import { openBlockyard } from '../../host/library/node.ts';
import type { Blockyard } from '../../host/library/yard.ts';
import type { TraceRecord } from '../../host/trace/event.ts';
import { tracer } from '../../host/trace/events.ts';

const node = { driver: 'null-co', 'node-name': 'disk', size: 1 << 20 };
const open: Blockyard[] = [];

async function openYard(options: Parameters<typeof openBlockyard>[0] = {}): Promise<Blockyard> {
  const yard = await openBlockyard(options);
  open.push(yard);
  await yard.add(node);
  return yard;
}

async function readOnce(yard: Blockyard, node = 'disk'): Promise<void> {
  const { disk } = await yard.disk({ node });
  await disk.read(0, new Uint8Array(512));
}

/** Records come by a port, which needs a turn of the event loop. */
const arrived = (records: readonly TraceRecord[], event: string): Promise<TraceRecord> =>
  expect.poll(() => records.find((record) => record.event === event)).toBeDefined() as never;

afterEach(async () => {
  for (const yard of open.splice(0)) await yard.close();
});

test('a program is told what it asked for when it opened the block layer', async () => {
  const records: TraceRecord[] = [];
  const yard = await openYard({ trace: { events: ['block_read'], sink: (record) => records.push(record) } });
  await readOnce(yard);
  await arrived(records, 'block_read');
  const { args, line, time } = records[0]!;
  expect(args).toMatchObject({ node: 'disk', offset: 0, result: 'ok' });
  expect(line).toMatch(/^block_read node disk offset 0 bytes \d+ flags \w+ result ok us \d+$/);
  expect(Math.abs(time.seconds - Date.now() / 1000)).toBeLessThan(60);
  expect(new Set(records.map(({ event }) => event))).toEqual(new Set(['block_read']));
});

test('it can ask later, and by QMP', async () => {
  const records: TraceRecord[] = [];
  const yard = await openYard();
  await yard.trace({ events: ['block_drain_*'], sink: (record) => records.push(record) });
  await yard.qmp('trace-event-set-state', { name: 'block_drain_*', enable: false });
  await yard.qmp('trace-event-set-state', { name: 'block_read', enable: true });
  expect(await yard.qmp('trace-event-get-state', { name: 'block_read' })).toEqual([
    { name: 'block_read', state: 'enabled' },
  ]);
  await readOnce(yard);
  await arrived(records, 'block_read');
  expect(records.every(({ event }) => event === 'block_read')).toBe(true);
});

test('a name of no event is an error, and leaves nothing open', async () => {
  const trace = { events: ['nosuch'], sink: () => {} };
  await expect(openBlockyard({ trace })).rejects.toThrow("trace event 'nosuch' does not exist");
  const yard = await openYard();
  await expect(yard.trace(trace)).rejects.toThrow("trace event 'nosuch' does not exist");
});

test('subscribers of node:diagnostics_channel are told what is watched', async () => {
  const records: unknown[] = [];
  const listener = (record: unknown): void => void records.push(record);
  subscribe('blockyard:block_read', listener);
  try {
    const yard = await openYard();
    await yard.qmp('trace-event-set-state', { name: 'block_drain_begin', enable: true });
    await readOnce(yard);
    expect(records).toEqual([]);
    await yard.qmp('trace-event-set-state', { name: 'block_read', enable: true });
    await yard.add({ ...node, 'node-name': 'other' });
    await readOnce(yard, 'other');
    expect(records[0]).toMatchObject({ event: 'block_read', args: { node: 'other' } });
  } finally {
    unsubscribe('blockyard:block_read', listener);
  }
});

test('what was asked for ends with the last block layer', async () => {
  const first = await openYard({ trace: { events: ['*'], sink: () => {} } });
  const second = await openBlockyard();
  await first.close();
  expect(tracer.find('*').every(({ enabled }) => enabled)).toBe(true);
  await second.close();
  expect(tracer.find('*').some(({ enabled, selected }) => enabled || selected)).toBe(false);
});
