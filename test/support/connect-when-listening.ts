/** Clients of programs that are only starting: a socket has its name a moment before anybody listens there. */
import { once } from 'node:events';
import * as net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const longestWaitMs = 60_000;

/** Tries for a minute. `check` throws when nobody ever will listen. */
export async function connectWhenListening(path: string, check: () => void): Promise<net.Socket> {
  for (const bound = Date.now() + longestWaitMs; ; await delay(20)) {
    const socket = net.connect(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      check();
      if (Date.now() > bound) throw error;
    }
  }
}
