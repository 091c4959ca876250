/**
 * Chance from the operating system. Names and jitter take the engine's generator; node:crypto, which costs a process
 * like `img info` milliseconds to load, is for whoever wants bytes that cannot be guessed.
 */
import type { Random } from '../platform.ts';

export const random: Random = {
  below: (limit) => Math.floor(Math.random() * limit),
  fill(buffer) {
    process.getBuiltinModule('node:crypto').randomFillSync(buffer);
  },
};
