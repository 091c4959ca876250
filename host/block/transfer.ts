/**
 * Moves data for drivers that only map: reads follow extents, writes follow plans (driver.ts).
 *
 * Called by the dispatcher alone, with requests that are checked and within the node. What an allocating write must
 * copy along is read here, through the node itself, so that drivers never move guest data. Drivers that fill clusters of
 * their own accord, which no guest has written, do that by the same plans.
 *
 * A driver that answers `map` has what its own answers call for: `readSpecial` for special extents, `read` for its own.
 */
import { settled } from '../base/settled.ts';
import type { Allocation, DataPlace, Driver, Extent, WriteFlags, WritePlan } from './driver.ts';
import type { Edge } from './edge.ts';
import type { BlockNode } from './node.ts';

/** An allocating write up to this size goes out as one request together with its head and tail. */
const mergeLimitBytes = 2 << 20;

/** Reads `buffer.length` bytes at `offset`, all below the node's length. */
export async function readMapped(node: BlockNode, offset: number, buffer: Uint8Array): Promise<void> {
  const { driver } = node;
  let done = 0;
  do {
    const rest = buffer.length - done;
    const transfer = driver.beginTransfer?.();
    try {
      const mapped = driver.map!(offset + done, rest);
      const extent = mapped instanceof Promise ? await mapped : mapped;
      const part = extent.bytes === buffer.length ? buffer : buffer.subarray(done, done + extent.bytes);
      await readExtent(node, extent, offset + done, part);
      done += extent.bytes;
    } finally {
      if (transfer !== undefined) driver.endTransfer!(transfer);
    }
  } while (done < buffer.length);
}

function readExtent(
  node: BlockNode,
  extent: Extent,
  offset: number,
  buffer: Uint8Array,
): Promise<void> | void {
  switch (extent.type) {
    case 'data':
      if (extent.child.debugged) return readDebugged(extent, buffer);
      return extent.child.read(extent.offset, buffer);
    case 'unallocated': {
      const backing = node.children.get('backing');
      if (backing) {
        const storage = node.primaryChild();
        return storage?.debugged
          ? readBacking(storage, backing, offset, buffer)
          : backing.read(offset, buffer);
      }
      buffer.fill(0);
      return;
    }
    case 'special':
      return node.driver.readSpecial!(extent, offset, buffer);
    case 'own':
      return node.driver.read!(offset, buffer);
    case 'zero':
      buffer.fill(0);
      return;
  }
}

async function readDebugged({ child, offset }: Extent & { type: 'data' }, buffer: Uint8Array): Promise<void> {
  await child.debugEvent('read_aio');
  await child.read(offset, buffer);
}

async function readBacking(storage: Edge, backing: Edge, offset: number, buffer: Uint8Array): Promise<void> {
  await storage.debugEvent('read_backing_aio');
  await backing.read(offset, buffer);
}

/**
 * Writes `buffer` at `offset` through plans of the driver; `settled` when that was done at once. May throw what it could
 * reject with.
 */
export function writeMapped(
  node: BlockNode,
  offset: number,
  buffer: Uint8Array,
  flags: WriteFlags,
): Promise<void> {
  const { driver } = node;
  const plan = driver.prepareWrite!(offset, buffer.length);
  if (plan instanceof Promise || plan.allocation || plan.bytes < buffer.length)
    return writeByPlans(node, offset, buffer, flags, plan);
  const written = writeData(plan.child, plan.offset, buffer, flags);
  if (written !== settled) return carryOut(driver, plan, () => written);
  endTransfer(driver, plan);
  return settled;
}

/** Fills a plan by `write`, and ends it. */
async function carryOut(driver: Driver, plan: WritePlan, write: () => Promise<void>): Promise<void> {
  try {
    if (plan.allocation) await fillAllocation(plan.allocation, write);
    else await write();
  } finally {
    endTransfer(driver, plan);
  }
}

/** `first`: the first of the plans. */
async function writeByPlans(
  node: BlockNode,
  offset: number,
  buffer: Uint8Array,
  flags: WriteFlags,
  first: WritePlan | Promise<WritePlan>,
): Promise<void> {
  const { driver } = node;
  for (let done = 0; done < buffer.length; ) {
    const plan = await (done === 0 ? first : driver.prepareWrite!(offset + done, buffer.length - done));
    const part = plan.bytes === buffer.length ? buffer : buffer.subarray(done, done + plan.bytes);
    const at = offset + done;
    await carryOut(driver, plan, () =>
      plan.allocation
        ? writeAllocating(node, plan, plan.allocation, at, part)
        : writeData(plan.child, plan.offset, part, flags),
    );
    done += plan.bytes;
  }
}

/**
 * Writes whole clusters of a driver by one of its plans, for the first of `bytes` at `offset`, which may be behind the
 * end of the node. `write` puts the data where the plan says. Returns how many bytes that plan was for.
 */
export async function writePlanned(
  driver: Driver & Required<Pick<Driver, 'prepareWrite'>>,
  offset: number,
  bytes: number,
  write: (plan: WritePlan) => Promise<void>,
): Promise<number> {
  const plan = await driver.prepareWrite(offset, bytes);
  await carryOut(driver, plan, () => write(plan));
  return plan.bytes;
}

/** Has an allocation filled by `write`, then published; the space is given back when `write` fails. */
export async function fillAllocation(
  allocation: Pick<Allocation, 'commit' | 'abort'>,
  write: () => Promise<void>,
): Promise<void> {
  try {
    await write();
  } catch (error) {
    allocation.abort();
    throw error;
  }
  await allocation.commit();
}

function endTransfer(driver: Driver, { transfer }: WritePlan): void {
  // A driver that begins transfers ends them.
  if (transfer !== undefined) driver.endTransfer!(transfer);
}

function writeData(
  child: DataPlace,
  offset: number,
  buffer: Uint8Array,
  flags: WriteFlags = {},
): Promise<void> {
  return child.debugged ? writeDebugged(child, offset, buffer, flags) : child.write(offset, buffer, flags);
}

async function writeDebugged(
  child: DataPlace,
  offset: number,
  buffer: Uint8Array,
  flags: WriteFlags,
): Promise<void> {
  await child.debugEvent('write_aio');
  await child.write(offset, buffer, flags);
}

async function writeAllocating(
  node: BlockNode,
  plan: WritePlan,
  allocation: Allocation,
  offset: number,
  buffer: Uint8Array,
): Promise<void> {
  const { headBytes, tailBytes } = allocation;
  if (plan.child.debugged) await plan.child.debugEvent('cluster_alloc');
  if (headBytes + tailBytes === 0) await writeData(plan.child, plan.offset, buffer);
  else await writeWithEdges(node, plan, allocation, offset, buffer);
}

/** Writes the data and what surrounds it up to the bounds of the allocation. */
async function writeWithEdges(
  node: BlockNode,
  plan: WritePlan,
  allocation: Allocation,
  offset: number,
  buffer: Uint8Array,
): Promise<void> {
  const { child } = plan;
  const { headBytes, tailBytes } = allocation;
  const start = plan.offset - headBytes;
  const totalBytes = headBytes + buffer.length + tailBytes;
  const areZero = await areEdgesZero(node, plan, allocation, offset);
  if (!areZero && totalBytes <= mergeLimitBytes) {
    const whole = new Uint8Array(totalBytes);
    await child.debugEvent('cow_read');
    await readClipped(node, offset - headBytes, whole.subarray(0, headBytes));
    whole.set(buffer, headBytes);
    await readClipped(node, offset + buffer.length, whole.subarray(headBytes + buffer.length));
    await child.debugEvent('write_aio');
    await child.debugEvent('cow_write');
    await child.write(start, whole);
    return;
  }
  if (areZero) await writeZeroEdges(plan, allocation);
  else await copyEdges(node, plan, allocation, offset);
  await writeData(child, plan.offset, buffer);
}

/** Writes what surrounds the data of a plan for `offset` of the node, up to the bounds of its allocation. */
export async function writeEdges(
  node: BlockNode,
  plan: WritePlan,
  allocation: Allocation,
  offset: number,
): Promise<void> {
  if (await areEdgesZero(node, plan, allocation, offset)) await writeZeroEdges(plan, allocation);
  else await copyEdges(node, plan, allocation, offset);
}

/** Where zeros are stored as such: encrypted, they are data as any other. */
async function areEdgesZero(
  node: BlockNode,
  { child, bytes }: WritePlan,
  { headBytes, tailBytes }: Allocation,
  offset: number,
): Promise<boolean> {
  return (
    child.plain !== undefined &&
    (await readsAsZero(node, offset - headBytes, headBytes)) &&
    (await readsAsZero(node, offset + bytes, tailBytes))
  );
}

async function writeZeroEdges(
  { child: { plain }, offset, bytes }: WritePlan,
  { headBytes, tailBytes }: Allocation,
): Promise<void> {
  const child = plain!; // the edges are stored as zeros
  const start = offset - headBytes;
  const totalBytes = headBytes + bytes + tailBytes;
  // Past the end of the file there is nothing to overwrite: it reads as zeros by itself.
  const stale = Math.min(totalBytes, child.node.exactLength - start);
  if (stale <= 0) return;
  await child.debugEvent('cluster_alloc_space');
  await child.writeZeroes(start, totalBytes);
}

async function copyEdges(
  node: BlockNode,
  { child, offset: host, bytes }: WritePlan,
  { headBytes, tailBytes }: Allocation,
  offset: number,
): Promise<void> {
  for (const edge of [
    { guest: offset - headBytes, host: host - headBytes, bytes: headBytes },
    { guest: offset + bytes, host: host + bytes, bytes: tailBytes },
  ]) {
    if (edge.bytes === 0) continue;
    const copy = new Uint8Array(edge.bytes);
    await child.debugEvent('cow_read');
    await readClipped(node, edge.guest, copy);
    await child.debugEvent('cow_write');
    await child.write(edge.host, copy);
  }
}

/** Reads what is inside the node; the last cluster may reach beyond its end, where everything is zero. */
async function readClipped(node: BlockNode, offset: number, buffer: Uint8Array): Promise<void> {
  const inside = Math.min(buffer.length, node.length - offset);
  if (inside > 0) await readMapped(node, offset, buffer.subarray(0, inside));
}

/** Whether the mapping alone says that a range reads as zeros. Asks no host file about holes. */
async function readsAsZero(node: BlockNode, offset: number, bytes: number): Promise<boolean> {
  const end = Math.min(offset + bytes, node.length);
  while (offset < end) {
    if (!node.driver.map) return false;
    const extent = await node.driver.map(offset, end - offset, { wantZero: false });
    if (extent.type === 'unallocated') {
      const backing = node.backing();
      if (backing && !(await readsAsZero(backing, offset, extent.bytes))) return false;
    } else if (extent.type !== 'zero' && !(extent.type === 'own' && extent.zero)) {
      return false;
    }
    offset += extent.bytes;
  }
  return true;
}
