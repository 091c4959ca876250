/**
 * Writes to sockets that do not block, past Node's streams: for a small piece these take longer than the kernel does, and they make a
 * call for each.
 */
import type { Outgoing } from '../connection.ts';
import { type Koffi, loadedLibc } from './libc.ts';

/** In one call: far below IOV_MAX. */
const maxPieces = 64;

type IntCall = (...args: readonly unknown[]) => number;

class SocketCalls {
  private readonly writeCall: IntCall;
  private readonly writevCall: IntCall;
  /** struct iovec: an address, and how many bytes. */
  private readonly vector = new BigUint64Array(2 * maxPieces);

  constructor(private readonly koffi: Koffi) {
    const library = koffi.load(null);
    this.writeCall = library.func('int64_t write(int fd, const void *buffer, size_t bytes)');
    this.writevCall = library.func('int64_t writev(int fd, const void *vector, int count)');
  }

  /** How many bytes of the pieces were taken; 0 also for an error, which whoever writes the rest meets again. */
  write(fd: number, pieces: readonly Outgoing[]): number {
    const [first, second] = pieces;
    if (!first) return 0;
    if (!second) return Math.max(0, this.writeCall(fd, first.bytes, first.bytes.length));
    let count = 0;
    for (const { bytes } of pieces.slice(0, maxPieces)) {
      this.vector[2 * count] = BigInt(this.koffi.address(bytes));
      this.vector[2 * count + 1] = BigInt(bytes.length);
      count++;
    }
    return Math.max(0, this.writevCall(fd, this.vector, count));
  }
}

let calls: SocketCalls | undefined;

/** Undefined as long as nobody has loaded libc: most have not that much to write. */
export function socketCalls(): SocketCalls | undefined {
  if (calls) return calls;
  const c = loadedLibc();
  if (c) calls = new SocketCalls(c.koffi);
  return calls;
}
