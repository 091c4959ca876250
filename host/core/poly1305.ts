/** Poly1305 (RFC 8439, section 2.5): the tag of a whole message, by a module of the core that few programs need. */
import poly1305Bytes from '../../build/poly1305.wasm';
import { CoreInstance } from './instance.ts';
import { CoreModule } from './module.ts';
import type { ScanBuffer } from './scan.ts';

interface Poly1305Exports {
  poly1305_begin(key: number): void;
  poly1305_add(address: number, bytes: number): void;
  poly1305_end(tag: number): void;
}

const keyBytes = 32;
const tagBytes = 16;
/** Messages are brought into the core in parts of this size, which stay in the cache; a multiple of 16. */
const partBytes = 32_768;

let made:
  | { core: CoreInstance<Poly1305Exports>; key: ScanBuffer; tag: ScanBuffer; part: ScanBuffer }
  | undefined;

/** `key`: 32 bytes, used for no other message. */
export function poly1305(key: Uint8Array, message: Uint8Array): Uint8Array {
  made ??= make();
  const { core, key: keyRoom, tag, part } = made;
  keyRoom.bytes.set(key);
  core.exports.poly1305_begin(keyRoom.address);
  for (let at = 0; at < message.length; at += partBytes) {
    const bytes = message.subarray(at, at + partBytes);
    part.bytes.set(bytes);
    core.exports.poly1305_add(part.address, bytes.length);
  }
  core.exports.poly1305_end(tag.address);
  return tag.bytes.slice();
}

function make(): NonNullable<typeof made> {
  const core = new CoreInstance<Poly1305Exports>(new CoreModule(poly1305Bytes), partBytes + 256);
  const [key, tag] = [core.allocate(keyBytes), core.allocate(tagBytes)];
  return { core, key, tag, part: core.allocate(partBytes) };
}
