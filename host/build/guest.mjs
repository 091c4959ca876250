// Assembles the embedded guest: host/emulator/guest/guest.s → build/guest.bin, a multiboot kernel with its texts behind
// the code. The assembler knows no data, so texts are laid out here and `&NAME` becomes an address.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AssemblyState } from '@defasm/core';

const loadAddress = 0x100000;
const headerBytes = 32;
/** Code ends before. */
const textAddress = 0x102000;
/** Memory that the guest uses for itself starts there. */
const endOfImage = 0x170000;

export function buildGuest(root) {
  const source = readFileSync(join(root, 'host/emulator/guest/guest.s'), 'utf8');
  const { code, texts } = layOut(source);
  const assembly = new AssemblyState({ syntax: { intel: true, prefix: false }, bitness: 32 });
  assembly.compile(code);
  const wrong = assembly.errors.map(({ message, range }) => `${message} at ${range?.start ?? '?'}`);
  if (wrong.length > 0) throw new Error(`guest.s does not assemble: ${wrong.join(', ')}`);
  const machineCode = assembly.head.dump();
  if (loadAddress + headerBytes + machineCode.length > textAddress)
    throw new Error('guest.s has too much code');
  const image = new Uint8Array(textAddress - loadAddress + texts.length);
  writeHeader(new DataView(image.buffer), image.length);
  image.set(machineCode, headerBytes);
  image.set(texts, textAddress - loadAddress);
  if (loadAddress + image.length > endOfImage) throw new Error('guest.s has too much text');
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(join(root, 'build/guest.bin'), image);
}

/** Takes comments, texts and constants out, and puts addresses and values in. */
function layOut(source) {
  const addresses = new Map();
  const constants = new Map();
  const texts = [];
  const code = [];
  for (const line of source.split('\n')) {
    const text = /^text (\w+) (".*")$/.exec(line);
    const constant = /^(\w+) = (\w+)/.exec(line);
    if (text) {
      addresses.set(text[1], textAddress + texts.length);
      texts.push(...new TextEncoder().encode(JSON.parse(text[2])), 0);
    } else if (constant) {
      constants.set(constant[1], constant[2]);
      constants.set(`${constant[1]}_ADDRESS`, constant[2]);
    } else {
      code.push(line.replace(/;.*/, ''));
    }
  }
  const resolved = code
    .join('\n')
    .replace(/&(\w+)/g, (_, name) => {
      if (!addresses.has(name)) throw new Error(`guest.s: there is no text '${name}'`);
      return `0x${addresses.get(name).toString(16)}`;
    })
    .replace(/\b[A-Z][A-Z_]+\b/g, (name) => constants.get(name) ?? name);
  return { code: resolved, texts: Uint8Array.from(texts) };
}

/** Where the loader puts what: addresses are given, so it need not know any format of executables. */
function writeHeader(view, imageBytes) {
  const magic = 0x1badb002;
  const addressesAreGiven = 0x10000;
  const [bssEnd, entry] = [loadAddress + imageBytes, loadAddress + headerBytes];
  const checksum = -(magic + addressesAreGiven);
  for (const [i, field] of [
    magic,
    addressesAreGiven,
    checksum,
    loadAddress,
    loadAddress,
    0,
    bssEnd,
    entry,
  ].entries()) {
    view.setUint32(4 * i, field >>> 0, true);
  }
}
