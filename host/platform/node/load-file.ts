/** Whole files, of this computer or of web servers, for what is not a disk. */
import { readFile } from 'node:fs/promises';

/** `path`: a path, or an address with `file:`, `http:` or `https:`. Errors: an Error that names it and says why it cannot be read. */
export async function loadFile(path: string): Promise<ArrayBuffer> {
  if (/^https?:/.test(path)) return fetchFile(path);
  const bytes = await readFile(path.startsWith('file:') ? new URL(path) : path);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
}

async function fetchFile(url: string): Promise<ArrayBuffer> {
  const response = await fetch(url).catch((error: Error) => {
    throw new Error(`${url}: ${(error.cause as Error | undefined)?.message ?? error.message}`, {
      cause: error,
    });
  });
  if (!response.ok) throw new Error(`the server answers ${response.status} to ${url}`);
  return response.arrayBuffer();
}
