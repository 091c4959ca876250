/** The worker's end of a disk port: a GuestDisk that answers what the page asks. */
import { InFlight } from '../base/in-flight.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import type { GuestDisk } from '../emulator/guest-disk.ts';
import type { DiskAnswer, DiskRequest } from './disk-protocol.ts';

/** Serves `disk` on `port` until the page closes it; `whenClosed` is then called once. */
export function serveDisk(port: MessagePort, disk: GuestDisk, whenClosed: () => Promise<void>): void {
  new DiskServer(port, disk, whenClosed).start();
}

class DiskServer {
  private readonly reads = new Map<number, AbortController>();
  private readonly inFlight = new InFlight();
  private toldLength: number;
  private closing: Promise<void> | undefined;

  constructor(
    private readonly port: MessagePort,
    private readonly disk: GuestDisk,
    private readonly whenClosed: () => Promise<void>,
  ) {
    this.toldLength = disk.byteLength;
  }

  start(): void {
    const { port, disk } = this;
    port.onmessage = ({ data }: MessageEvent<DiskRequest>) => this.take(data);
    port.addEventListener('close', () => void this.close());
    const { byteLength, isReadOnly } = disk;
    this.post({ type: 'ready', byteLength, isReadOnly, reference: disk.getReference() });
  }

  private take(request: DiskRequest): void {
    switch (request.type) {
      case 'read':
        this.read(request.id, request.offset, request.bytes);
        break;
      case 'cancel':
        this.reads.get(request.id)?.abort();
        break;
      case 'write':
        this.answerAfter(request.id, this.disk.write(request.offset, request.data));
        break;
      case 'flush':
        this.answerAfter(request.id, this.disk.flush());
        break;
      case 'set-reference':
        this.disk.setReference(request.reference);
        break;
      case 'close':
        void this.close().then(() => this.done(request.id));
        break;
    }
  }

  private read(id: number, offset: number, bytes: number): void {
    const data = new Uint8Array(bytes);
    const controller = new AbortController();
    const reading = this.disk.read(offset, data, controller.signal);
    if (!reading) {
      this.done(id, data);
      return;
    }
    this.reads.set(id, controller);
    this.track(
      reading.then(() => {
        this.reads.delete(id);
        if (!controller.signal.aborted) this.done(id, data);
      }),
    );
  }

  private answerAfter(id: number, work: Promise<void>): void {
    this.track(work.then(() => this.done(id)));
  }

  private track(work: Promise<void>): void {
    this.inFlight.begin();
    void work.finally(() => this.inFlight.end());
  }

  /** The page asks for it, and its port closes: both times it is over when this settles. */
  private close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    for (const controller of this.reads.values()) controller.abort();
    await this.inFlight.whenIdle();
    await this.whenClosed();
  }

  private done(id: number, data?: Uint8Array): void {
    const { byteLength } = this.disk;
    const hasNewLength = byteLength !== this.toldLength;
    this.toldLength = byteLength;
    this.post(
      { type: 'done', id, ...withoutUndefined({ data, byteLength: hasNewLength ? byteLength : undefined }) },
      data,
    );
  }

  private post(answer: DiskAnswer, moved?: Uint8Array): void {
    this.port.postMessage(answer, moved ? [moved.buffer] : []);
  }
}
