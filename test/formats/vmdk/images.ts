/** Small vmdk images by the published structure, made by hand: what no tool here makes. */
import { deflateSync } from 'node:zlib';

export const sectorBytes = 512;

/** Numbers of 4 or 8 bytes at their offsets, in a block of `bytes`. */
export function block(bytes: number, fields: Record<number, number | bigint>): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(bytes);
  const view = new DataView(result.buffer);
  for (const [at, value] of Object.entries(fields)) {
    if (typeof value === 'bigint') view.setBigUint64(Number(at), value, true);
    else view.setUint32(Number(at), value, true);
  }
  return result;
}

export function descriptor(createType: string, lines: readonly string[]): string {
  return [
    '# Disk DescriptorFile',
    'version=1',
    'CID=123abcde',
    'parentCID=ffffffff',
    `createType="${createType}"`,
    ...lines,
    'ddb.adapterType = "lsilogic"',
    '',
  ].join('\n');
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts));
}

function wholeSectors(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.ceil(bytes.length / sectorBytes) * sectorBytes);
  whole.set(bytes);
  return whole;
}

const grainSectors = 128;
const descriptorSectors = 20;
const magic = 0x564d444b;

/**
 * As programs write it that can only append: header without a directory, grains, tables, directory, footer. `grains`: those that
 * there are, in their order on the disk; undefined: there is none.
 */
export function streamImage(diskSectors: number, grains: readonly (Uint8Array | undefined)[]): Uint8Array {
  const fields = (directory: bigint): Record<number, number | bigint> => ({
    ...{ 0: magic, 4: 3, 8: 0x3_0001, 12: BigInt(diskSectors), 20: BigInt(grainSectors) },
    ...{ 28: 1n, 36: BigInt(descriptorSectors), 44: 512, 48: 0n, 56: directory, 64: BigInt(grainSectors) },
  });
  const header = (directory: bigint): Uint8Array<ArrayBuffer> => {
    const bytes = block(sectorBytes, fields(directory));
    bytes.set([0x0a, 0x20, 0x0d, 0x0a, 1, 0], 73);
    return bytes;
  };
  const front = new Uint8Array(grainSectors * sectorBytes);
  front.set(header(0xffff_ffff_ffff_ffffn));
  const text = descriptor('streamOptimized', [`RW ${diskSectors} SPARSE "stream.vmdk"`]);
  front.set(new TextEncoder().encode(text), sectorBytes);
  const parts = [front];
  let sector = grainSectors;
  const add = (bytes: Uint8Array<ArrayBuffer>): number => {
    const at = sector;
    parts.push(bytes);
    sector += bytes.length / sectorBytes;
    return at;
  };
  const marker = (sectors: number, type: number): Uint8Array<ArrayBuffer> =>
    block(sectorBytes, { 0: BigInt(sectors), 8: 0, 12: type });
  const table: Record<number, number> = {};
  for (const [index, grain] of grains.entries()) {
    if (!grain) continue;
    const data = deflateSync(grain);
    const head = block(12, { 0: BigInt(index * grainSectors), 8: data.length });
    table[index * 4] = add(wholeSectors(joined([head, data])));
  }
  add(marker(4, 1));
  const tableSector = add(block(2048, table));
  add(marker(1, 2));
  const directory = add(block(sectorBytes, { 0: tableSector }));
  add(marker(1, 3));
  add(header(BigInt(directory)));
  add(marker(0, 0));
  return joined(parts);
}

/** A sparse extent of an ESX host, with grains of one sector: those of `grains` are there. */
export function cowdExtent(diskSectors: number, grains: Readonly<Record<number, Uint8Array>>): Uint8Array {
  const [directory, table] = [4, 5];
  const first = table + (4096 * 4) / sectorBytes;
  const entries: Record<number, number> = {};
  const data: Uint8Array[] = [];
  for (const [grain, bytes] of Object.entries(grains)) {
    entries[Number(grain) * 4] = first + data.length;
    data.push(bytes);
  }
  const header = block(directory * sectorBytes, {
    ...{ 0: 0x44574f43, 4: 1, 8: 3, 12: diskSectors, 16: 1, 20: directory },
    ...{ 24: Math.ceil(diskSectors / 4096), 28: first + data.length },
  });
  return joined([header, block(sectorBytes, { 0: table }), block(4096 * 4, entries), ...data]);
}
