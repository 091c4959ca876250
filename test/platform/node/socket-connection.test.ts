/** Sockets of the operating system as connections: what is written in pieces, by one way or the other, arrives in order. */
import { connect } from 'node:net';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Input } from '../../../host/nbd/input.ts';
import type { Connection } from '../../../host/platform/connection.ts';
import { libc } from '../../../host/platform/node/libc.ts';
import { sockets } from '../../../host/platform/node/sockets.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const scratch = scratchDirectory();

/** One that somebody has made to us, and what they make of it. */
async function accepted(name: string): Promise<{ connection: Connection; peer: ReturnType<typeof connect> }> {
  const path = scratch(name);
  const come = new Promise<Connection>((resolve) => {
    void sockets.listen({ type: 'unix', path }, resolve).then((listener) => {
      onTestFinished(() => listener.close());
      peer = connect({ path });
      peer.pause();
      onTestFinished(() => void peer?.destroy());
    });
  });
  let peer: ReturnType<typeof connect> | undefined;
  const connection = await come;
  return { connection, peer: peer! }; // somebody came
}

function start(connection: Connection): { isClosed: boolean } {
  const state = { isClosed: false };
  const input = new Input();
  connection.start({
    data: (bytes) => input.append(bytes),
    into: input,
    drained: () => {},
    ended: () => {},
    closed: () => {
      state.isClosed = true;
    },
  });
  return state;
}

describe('a connection of a socket', () => {
  beforeAll(() => {
    // Small pieces go past Node's streams where there is one.
    libc();
  });

  test('keeps the order of pieces of all sizes, while its peer fetches them and while it does not', async () => {
    const { connection, peer } = await accepted('order');
    start(connection);
    const sizes = [28, 4096, 1, 300_000, 20, 70_000, 2_000_000, 16];
    const written: Buffer[] = [];
    let sent = 0;
    const piece = (bytes: number): { bytes: Buffer; sent(): void } => {
      const made = Buffer.alloc(bytes, `${written.length} of ${bytes} `);
      written.push(made);
      return { bytes: made, sent: () => void sent++ };
    };
    const received: Buffer[] = [];
    peer.on('data', (bytes: Buffer) => received.push(bytes));
    for (let round = 0; round < 6; round++) {
      if (round % 2 === 0) peer.pause();
      else peer.resume();
      connection.writeAll?.(sizes.map(piece));
      for (const size of sizes.slice(0, 3)) {
        const { bytes, sent: told } = piece(size);
        connection.write(bytes, told);
      }
      connection.writeAll?.(Array.from({ length: 200 }, () => piece(7)));
      await new Promise(setImmediate);
    }
    expect(connection.unsentBytes).toBeGreaterThan(0);
    peer.resume();
    await expect.poll(() => sent, { timeout: 20_000 }).toBe(written.length);
    const all = Buffer.concat(written);
    await expect.poll(() => received.reduce((sum, { length }) => sum + length, 0)).toBe(all.length);
    expect(Buffer.concat(received).equals(all)).toBe(true);
    expect(connection.unsentBytes).toBe(0);
  });

  test('takes what is written to a peer that is gone, and tells that it is', async () => {
    const { connection, peer } = await accepted('gone');
    const state = start(connection);
    peer.destroy();
    await expect.poll(() => peer.closed).toBe(true);
    connection.writeAll?.([{ bytes: Buffer.alloc(10) }, { bytes: Buffer.alloc(1_000_000) }]);
    connection.close();
    connection.write(Buffer.alloc(10));
    expect(state.isClosed).toBe(false);
    const { connection: other, peer: otherPeer } = await accepted('gone-later');
    const otherState = start(other);
    otherPeer.destroy();
    await expect
      .poll(() => {
        other.write(Buffer.alloc(10));
        return otherState.isClosed;
      })
      .toBe(true);
  });
});
