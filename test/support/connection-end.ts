/** One end of a connection, with what has come out of it. */
import { createDeferred } from '../../host/base/deferred.ts';
import type { Connection } from '../../host/platform/connection.ts';

export class ConnectionEnd {
  private readonly chunks: Uint8Array[] = [];
  private readonly over = createDeferred<void>();
  private readonly onChange = new Set<() => void>();
  private received = 0;
  drains = 0;

  constructor(readonly connection: Connection) {}

  start(): this {
    this.connection.start({
      data: (bytes) => {
        this.chunks.push(bytes);
        this.received += bytes.length;
        for (const look of this.onChange) look();
      },
      drained: () => void this.drains++,
      ended: () => {},
      closed: () => this.over.resolve(),
    });
    return this;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get sizes(): readonly number[] {
    return this.chunks.map(({ length }) => length);
  }

  get whenOver(): Promise<void> {
    return this.over.promise;
  }

  /** As soon as so many bytes have come. */
  async has(bytes: number): Promise<Buffer> {
    while (this.received < bytes) {
      const { promise, resolve } = createDeferred<void>();
      this.onChange.add(resolve);
      await promise;
      this.onChange.delete(resolve);
    }
    return this.bytes;
  }
}
