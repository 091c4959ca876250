/** Chance: the engine's generator for names and jitter, the browser's for bytes that cannot be guessed. */
import type { Random } from '../platform.ts';

/** What one call may ask for. */
const mostBytes = 65_536;

export const random: Random = {
  below: (limit) => Math.floor(Math.random() * limit),
  fill(buffer) {
    for (let at = 0; at < buffer.length; at += mostBytes) {
      // It takes no view of shared memory.
      const part = new Uint8Array(Math.min(mostBytes, buffer.length - at));
      buffer.set(crypto.getRandomValues(part), at);
    }
  },
};
