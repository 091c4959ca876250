/** What `io` prints about a request: the two report lines, and dumps (specification: cli, section 4). */
import { formatDuration, formatIoSize } from '../shared/human-size.ts';
import type { Session } from './session.ts';

interface Finished {
  verb: 'read' | 'wrote' | 'discard';
  offset: number;
  bytes: number;
  elapsedNs: number;
  /** In the form for machines (`-C`). */
  machine: boolean;
}

export function report(session: Session, { verb, offset, bytes, elapsedNs, machine }: Finished): void {
  const seconds = Math.max(elapsedNs, 1) / 1e9;
  const [bytesPerSecond, opsPerSecond] = [bytes / seconds, 1 / seconds];
  if (machine) {
    const rates = `${bytesPerSecond.toFixed(3)},${opsPerSecond.toFixed(3)}`;
    session.tool.out(`${bytes},1,${formatDuration(elapsedNs, true)},${rates}\n`);
    return;
  }
  // All digits of numbers beyond 2^53, too.
  const length = BigInt(bytes);
  session.tool.out(`${verb} ${length}/${length} bytes at offset ${BigInt(offset)}\n`);
  session.tool.out(
    `${formatIoSize(bytes)}, 1 ops; ${formatDuration(elapsedNs)} ` +
      `(${formatIoSize(bytesPerSecond)}/sec and ${opsPerSecond.toFixed(4)} ops/sec)\n`,
  );
}

interface ReadResult {
  offset: number;
  buffer: Uint8Array;
  elapsedNs: number;
  machine: boolean;
  /** The data itself, too. */
  verbose: boolean;
}

export function reportRead(session: Session, { buffer, verbose, ...rest }: ReadResult): void {
  if (verbose) dump(session, buffer, rest.offset);
  report(session, { verb: 'read', bytes: buffer.length, ...rest });
}

const bytesPerLine = 16;

/** `offset` is that of the first byte. */
function dump(session: Session, buffer: Uint8Array, offset: number): void {
  for (let at = 0; at < buffer.length; at += bytesPerLine) {
    const line = [...buffer.subarray(at, at + bytesPerLine)];
    const hex = line.map((byte) => `${byte.toString(16).padStart(2, '0')} `).join('');
    const text = line.map(shownAs).join('');
    session.tool.out(`${(offset + at).toString(16).padStart(8, '0')}:  ${hex} ${text}\n`);
  }
}

/** Letters and digits as themselves, everything else as a dot. */
function shownAs(byte: number): string {
  const char = String.fromCharCode(byte);
  return /[A-Za-z0-9]/.test(char) ? char : '.';
}

/** Says so when the range is not all `pattern`, and returns whether it is. */
export function verify(session: Session, range: Uint8Array, offset: number, pattern: number): boolean {
  if (range.every((byte) => byte === pattern)) return true;
  session.tool.out(`Pattern verification failed at offset ${BigInt(offset)}, ${range.length} bytes\n`);
  return false;
}
