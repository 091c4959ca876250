/** Clients that go away in the middle of what they say: both servers complain of the same ones, in the same words. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { drivers } from '../../../host/drivers.ts';
import { closeExports, exportsOf } from '../../../host/exports/block-exports.ts';
import { createGraph } from '../../../host/graph.ts';
import { Command, Option } from '../../../host/nbd/constants.ts';
import { nodePlatform } from '../../../host/platform/node/index.ts';
import { hello, infoFor, option, request } from '../../support/nbd-messages.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { haveQemu } from '../../support/tools.ts';

const scratch = scratchDirectory();
const image = (): string => scratch('disk.raw');

const list = option(Option.list, Buffer.from('xxx'));
const info = option(Option.info, infoFor(''));
const go = option(Option.go, infoFor(''));
const write = request(Command.write, 0, 512, { data: Buffer.alloc(512) });
const words: readonly (readonly [string, ...Uint8Array[]])[] = [
  ['nothing'],
  ['half of the flags', hello().subarray(0, 2)],
  ['the flags', hello()],
  ['other flags', hello(9)],
  ['part of the magic of an option', hello(), list.subarray(0, 5)],
  ['the magic of an option', hello(), list.subarray(0, 8)],
  ['a part of its number', hello(), list.subarray(0, 9)],
  ['a part of its length', hello(), list.subarray(0, 14)],
  ['a part of its data', hello(), list.subarray(0, -1)],
  ['an option', hello(), info],
  ['an option that is none', hello(), new Uint8Array(16)],
  ['a name that there is not', hello(), option(Option.exportName, Buffer.from('zz'))],
  ['the end', hello(), option(Option.abort)],
  ['the choice', hello(), go],
  ['half a request', hello(), go, write.subarray(0, 8)],
  ['half of its data', hello(), go, write.subarray(0, 100)],
  ['a request', hello(), go, request(Command.flush, 0, 0)],
  ['no request', hello(), go, new Uint8Array(28)],
  ['the end of requests', hello(), go, request(Command.disconnect, 0, 0)],
];

/** Says it, reads every answer, and leaves. */
async function visit(path: string, messages: readonly Uint8Array[]): Promise<void> {
  const socket = connect(path);
  socket.on('error', () => {});
  socket.resume();
  await once(socket, 'data');
  for (const message of messages) {
    socket.write(message);
    await delay(20);
  }
  socket.end();
  await Promise.race([once(socket, 'close'), delay(50)]);
  socket.destroy();
}

describe.skipIf(!haveQemu)('a client that leaves after', () => {
  const ours: string[] = [];
  const theirs: string[] = [];
  const console = { ...nodePlatform.console, error: (message: string) => void ours.push(message) };
  const graph = createGraph({ platform: { ...nodePlatform, console }, drivers });
  let qemu: ChildProcess;

  beforeAll(async () => {
    writeFileSync(image(), Buffer.alloc(1 << 20));
    const args = ['-t', '-e', '0', '-k', scratch('theirs'), '-f', 'raw', image()];
    qemu = spawn('qemu-nbd', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    qemu.stderr!.on('data', (text) => {
      said += text;
      theirs.splice(0, theirs.length, ...(said.match(/(?<=qemu-nbd: ).+(?=\n)/g) ?? []));
    });
    await vi.waitUntil(() => existsSync(scratch('theirs')), { timeout: 10_000, interval: 10 });
    const node = await graph.open({ driver: 'raw', file: { driver: 'file', filename: image() } });
    const limits = { maxConnections: 0, handshakeMaxSeconds: 10 };
    await exportsOf(graph).startServer({ type: 'unix', path: scratch('ours') }, limits);
    await exportsOf(graph).add({ id: 'e', node, writable: true, writethrough: false, name: '' });
    await graph.unref(node);
  });

  afterAll(async () => {
    await closeExports(graph);
    if (qemu.kill()) await once(qemu, 'exit');
  });

  // On a busy machine a server may see what was said together with the end, and then says something else.
  const again = { retry: 3 };
  test.each(words.map(([name, ...says]) => [name, says] as const))('%s', again, async (_, messages) => {
    const before = [ours.length, theirs.length];
    await Promise.all(['ours', 'theirs'].map((name) => visit(scratch(name), messages)));
    const said = (): string[][] => [ours.slice(before[0]), theirs.slice(before[1])];
    const isSame = (): boolean => JSON.stringify(said()[0]) === JSON.stringify(said()[1]);
    // The one or the other may be late.
    await delay(30);
    await vi.waitUntil(isSame, { timeout: 2000, interval: 10 }).catch(() => {});
    expect(said()[0]).toEqual(said()[1]);
  });
});
