/**
 * What Node's sockets lack. Writes to sockets that do not block, past its streams: for a small piece these take longer than the kernel
 * does, and they make a call for each. And how much the kernel takes at once.
 */
import type { Outgoing } from '../connection.ts';
import { type Koffi, loadedLibc } from './libc.ts';

/** In one call: far below IOV_MAX. */
const maxPieces = 64;

/** Linux, for x86 and ARM. */
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;

/**
 * What the kernel keeps for a peer of the same machine. Its own 208 KiB are less than one answer of 256 KiB, so that everything stops
 * twice for each; with more than this the bytes are no longer in the processor's cache when they are fetched.
 */
const localSendBytes = 512 << 10;

type IntCall = (...args: readonly unknown[]) => number;

class SocketCalls {
  private readonly writeCall: IntCall;
  private readonly writevCall: IntCall;
  private readonly setOption: IntCall;
  /** struct iovec: an address, and how many bytes. */
  private readonly vector = new BigUint64Array(2 * maxPieces);

  constructor(private readonly koffi: Koffi) {
    const library = koffi.load(null);
    this.writeCall = library.func('int64_t write(int fd, const void *buffer, size_t bytes)');
    this.writevCall = library.func('int64_t writev(int fd, const void *vector, int count)');
    this.setOption = library.func(
      'int setsockopt(int fd, int level, int name, const void *value, uint32_t bytes)',
    );
  }

  /** For a peer of the same machine, not over TCP, which finds out by itself. The system's limit holds: then it is less. */
  enlargeSendBuffer(fd: number): void {
    this.setOption(fd, SOL_SOCKET, SO_SNDBUF, new Int32Array([localSendBytes]), Int32Array.BYTES_PER_ELEMENT);
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
