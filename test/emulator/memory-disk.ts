/** A GuestDisk over an array: answers at once or later, in a seeded order, and keeps to its contract. */
import type { DiskReference, GuestDisk } from '../../host/emulator/guest-disk.ts';

export class MemoryDisk implements GuestDisk {
  readonly isReadOnly = false;
  bytes: Uint8Array;
  reference: DiskReference = { snapshot: '', generation: 0 };
  /** Reads and writes settle when the test says so. */
  private held: (() => void)[] | undefined;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
  }

  get byteLength(): number {
    return this.bytes.length;
  }

  hold(): void {
    this.held = [];
  }

  /** Answers the held request at `index`, modulo how many there are. */
  answer(index: number): void {
    const { held } = this;
    if (!held || held.length === 0) return;
    held.splice(index % held.length, 1)[0]!();
  }

  get heldCount(): number {
    return this.held?.length ?? 0;
  }

  read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> | undefined {
    const { held } = this;
    if (!held) {
      into.set(this.bytes.subarray(offset, offset + into.length));
      return undefined;
    }
    const content = this.bytes.slice(offset, offset + into.length);
    return new Promise((resolve) => {
      signal?.addEventListener('abort', () => resolve());
      held.push(() => {
        into.set(content);
        resolve();
      });
    });
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    this.bytes.set(data, offset);
    const { snapshot, generation } = this.reference;
    this.reference = { snapshot, generation: generation + 1 };
    const { held } = this;
    if (!held) return Promise.resolve();
    return new Promise((resolve) => {
      held.push(resolve);
    });
  }

  async flush(): Promise<void> {}

  getReference(): DiskReference {
    return this.reference;
  }

  setReference(reference: DiskReference): void {
    this.reference = reference;
  }
}
