/**
 * Whether copies of both disks show one instant, told from the records that the embedded guest links on them. All records are read,
 * every time: nothing is taken from what was proven before.
 */
import { proveOneInstant, type RecordDisk, recordAreaBytes } from '../emulator/guest/linked-records.ts';
import type { Blockyard } from '../library/index.ts';
import type { Proof } from './session.ts';

/** `nodes`: of the first and the second disk, which nobody writes to. Undefined: what is on them are no records. */
export async function proveCopies(
  yard: Blockyard,
  nodes: readonly [string, string],
): Promise<Proof | undefined> {
  const [a, b] = [await openDisk(yard, nodes[0]), await openDisk(yard, nodes[1])];
  try {
    const { records, violations } = await proveOneInstant([a.disk, b.disk]);
    return { records, violations: violations.length };
  } catch {
    return undefined;
  } finally {
    await a.close();
    await b.close();
  }
}

/** A disk that is read once, from its start to the end of the records' room. */
async function openDisk(yard: Blockyard, node: string) {
  const { stream, bytes } = await yard.exportImage({ node, format: 'raw' });
  const reader = stream.getReader();
  let rest = new Uint8Array(0);
  const disk: RecordDisk = {
    length: Math.min(bytes, recordAreaBytes),
    async read(_, buffer) {
      for (let filled = 0; filled < buffer.length; ) {
        if (rest.length === 0) {
          const { value, done } = await reader.read();
          if (done) throw new Error(`'${node}' ends before its length`);
          rest = value;
        }
        const part = rest.subarray(0, buffer.length - filled);
        buffer.set(part, filled);
        filled += part.length;
        rest = rest.subarray(part.length);
      }
    },
    async write() {
      throw new Error('a copy is not written');
    },
  };
  return { disk, close: () => reader.cancel() };
}
