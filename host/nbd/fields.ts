/** Messages of the negotiation, field by field: built to be sent, and taken apart. Numbers are big-endian. */
import type { Words } from './constants.ts';

/** A message that is being built. */
export class MessageBuilder {
  private readonly fields: number[] = [];

  u16(value: number): this {
    this.fields.push((value >>> 8) & 0xff, value & 0xff);
    return this;
  }

  u32(value: number): this {
    return this.u16(value >>> 16).u16(value);
  }

  /** `value` ≤ 2^53. */
  u64(value: number): this {
    return this.u32(Math.floor(value / 2 ** 32)).u32(value % 2 ** 32);
  }

  words([high, low]: Words): this {
    return this.u32(high).u32(low);
  }

  zeros(count: number): this {
    for (let at = 0; at < count; at++) this.fields.push(0);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    for (const byte of bytes) this.fields.push(byte);
    return this;
  }

  /** Its bytes alone. */
  text(text: string): this {
    return this.bytes(new TextEncoder().encode(text));
  }

  /** Its length, then its bytes. */
  string(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u32(bytes.length).bytes(bytes);
  }

  done(): Uint8Array {
    return Uint8Array.from(this.fields);
  }
}

/** A message that is being taken apart. What is not there reads as undefined, and nothing more is then. */
export class MessageReader {
  private at = 0;
  private readonly view: DataView;

  constructor(private readonly message: Uint8Array) {
    this.view = new DataView(message.buffer, message.byteOffset, message.length);
  }

  get rest(): number {
    return this.message.length - this.at;
  }

  u16(): number | undefined {
    return this.has(2) ? this.view.getUint16((this.at += 2) - 2) : undefined;
  }

  u32(): number | undefined {
    return this.has(4) ? this.view.getUint32((this.at += 4) - 4) : undefined;
  }

  /** Exact up to 2^53. */
  u64(): number | undefined {
    return this.has(8) ? Number(this.view.getBigUint64((this.at += 8) - 8)) : undefined;
  }

  words(): Words | undefined {
    return this.has(8)
      ? [this.view.getUint32((this.at += 8) - 8), this.view.getUint32(this.at - 4)]
      : undefined;
  }

  bytes(count: number): Uint8Array | undefined {
    return this.has(count) ? this.message.subarray((this.at += count) - count, this.at) : undefined;
  }

  private has(count: number): boolean {
    if (count <= this.rest) return true;
    this.at = this.message.length;
    return false;
  }
}

/** `value` ≤ 2^53. */
export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value % 2 ** 32);
}

export function isMagic(found: Words | undefined, magic: Words): boolean {
  return found !== undefined && found[0] === magic[0] && found[1] === magic[1];
}
