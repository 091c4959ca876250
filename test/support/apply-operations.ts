/** Operations of a disk model on a disk of ours: at the same time, as long as none changes the length. */
import type { BlockBackend } from '../../host/block/backend.ts';
import { type DiskModel, expectSameBytes, type Operation } from './disk-model.ts';

export async function applyByOurs(
  backend: BlockBackend,
  model: DiskModel,
  operations: readonly Operation[],
): Promise<void> {
  let running: Promise<void>[] = [];
  for (const operation of operations) {
    switch (operation.kind) {
      case 'write': {
        const data = new Uint8Array(operation.bytes).fill(operation.pattern);
        running.push(backend.write(operation.offset, data));
        break;
      }
      case 'compress': {
        const data = new Uint8Array(operation.bytes).fill(operation.pattern);
        running.push(backend.writeCompressed(operation.offset, data));
        break;
      }
      case 'zero':
        running.push(backend.writeZeroes(operation.offset, operation.bytes, { mayUnmap: operation.unmap }));
        break;
      case 'discard':
        running.push(backend.discard(operation.offset, operation.bytes));
        break;
      case 'read':
        running.push(
          expectReads(
            backend,
            operation.offset,
            model.content.slice(operation.offset, operation.offset + operation.bytes),
          ),
        );
        break;
      case 'flush':
        running.push(backend.flush());
        break;
      case 'resize':
        await Promise.all(running);
        running = [];
        await backend.truncate(operation.bytes);
        break;
    }
    model.apply(operation);
  }
  await Promise.all(running);
}

export async function expectReads(
  backend: BlockBackend,
  offset: number,
  expected: Uint8Array,
): Promise<void> {
  const buffer = new Uint8Array(expected.length).fill(0xee);
  await backend.read(offset, buffer);
  expectSameBytes(buffer, expected, `reading at ${offset}`);
}
