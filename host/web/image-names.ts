/** What follows from the name of an image: where the server has it, and what its machine's disks are kept as. */
import { sha256 } from '../base/sha256.ts';

/** `page`: the URL of the page. Any name is one that a file can have. */
export function imageUrl(name: string, page: string): string {
  return new URL(`images/${encodeURIComponent(name)}`, page).href;
}

/** What is left of them tells them apart. */
const plainNames = [/^(?!https?_)[\w.-]+$/, /^https?:\/\/[a-z\d.-]+(:\d+)?\/images\/[\w.-]+$/];
const longestMachineName = 80;
const digestBytes = 6;

/** A name for files, another one for another image. `text`: the URL or name of the image. */
export function machineName(text: string): string {
  const plain = text.replace(/[^\w.-]+/g, '_');
  const isPlain = plainNames.some((pattern) => pattern.test(text));
  if (isPlain && plain.length <= longestMachineName) return plain;
  // What was replaced or is left out may be all that tells two images apart.
  const digest = sha256(new TextEncoder().encode(text)).subarray(0, digestBytes);
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${plain.slice(hex.length + 1 - longestMachineName)}-${hex}`;
}
