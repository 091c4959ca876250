/** A LUKS volume in memory, which remembers what was written to it, and how a disk may look that lost its power. */
import { makeVolume } from '../../host/crypto/luks/new-volume.ts';
import { parseNewVolume } from '../../host/crypto/luks/parse-options.ts';
import type { VolumeFile } from '../../host/crypto/luks/volume.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';

const sectorBytes = 512;

/** One write, or a flush. */
type Step = { offset: number; bytes: Uint8Array } | 'flush';

export class MemoryVolume implements VolumeFile {
  steps: Step[] = [];

  constructor(readonly content: Uint8Array) {}

  get length(): number {
    return this.content.length;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    buffer.set(this.content.subarray(offset, offset + buffer.length));
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    const bytes = Uint8Array.from(buffer);
    this.content.set(bytes, offset);
    this.steps.push({ offset, bytes });
  }

  async flush(): Promise<void> {
    this.steps.push('flush');
  }
}

/** What a disk may hold after a crash: all that was flushed, and of each later write nothing, a part in sectors, or all. */
export function* crashStates(before: Uint8Array, steps: readonly Step[]): Generator<Uint8Array> {
  const durable = Uint8Array.from(before);
  let pending: Exclude<Step, 'flush'>[] = [];
  yield Uint8Array.from(durable);
  for (const step of steps) {
    if (step !== 'flush') {
      pending.push(step);
      for (const kept of [0, 1, Math.floor(step.bytes.length / sectorBytes / 2)]) {
        const torn = Uint8Array.from(durable);
        for (const { offset, bytes } of pending.slice(0, -1)) torn.set(bytes, offset);
        torn.set(step.bytes.subarray(0, kept * sectorBytes), step.offset);
        yield torn;
        // The later write without the earlier ones.
        const reordered = Uint8Array.from(durable);
        reordered.set(step.bytes, step.offset);
        yield reordered;
      }
      continue;
    }
    for (const { offset, bytes } of pending) durable.set(bytes, offset);
    pending = [];
    yield Uint8Array.from(durable);
  }
}

/** As small and as quickly opened as can be. */
export async function newVolume(passphrase: string): Promise<MemoryVolume> {
  const options = { 'key-secret': 's', 'cipher-alg': 'aes-128', 'cipher-mode': 'cbc', 'iter-time': 1 };
  const volume = { ...parseNewVolume(options, ''), iterTimeMs: 0.001 };
  const made = await makeVolume(nodePlatform, volume, new TextEncoder().encode(passphrase));
  const file = new MemoryVolume(new Uint8Array(made.payloadOffset));
  await made.write(file);
  file.steps = [];
  return file;
}
