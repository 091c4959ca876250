/**
 * Images as nodes and as bytes, whatever they come from; and the words for what is wrong with an address or a file that somebody
 * has given.
 */
import { sectorBytes } from '../base/sectors.ts';
import type { Blockyard, JsonObject } from '../library/index.ts';
import { explainedFetch } from '../platform/browser/fetch.ts';
import { loadFile } from '../platform/browser/load-file.ts';
import type { ImageSource } from './session.ts';

const qcow2Magic = [0x51, 0x46, 0x49, 0xfb];
/** Somebody watches, and can do something about it: not for long is it only tried again. */
const retrySeconds = 10;

/** Formats that are told by how a file begins, and that no machine starts from as they are. */
const otherKinds: readonly {
  readonly name: string;
  readonly begins: readonly number[];
  readonly help: string;
}[] = [
  { name: 'a gzip file', begins: [0x1f, 0x8b], help: 'unpack it first' },
  { name: 'an xz file', begins: [0xfd, 0x37, 0x7a, 0x58, 0x5a], help: 'unpack it first' },
  { name: 'a zstd file', begins: [0x28, 0xb5, 0x2f, 0xfd], help: 'unpack it first' },
  { name: 'a zip file', begins: [0x50, 0x4b, 0x03, 0x04], help: 'unpack it first' },
  { name: 'a VMDK image', begins: [0x4b, 0x44, 0x4d, 0x56], help: 'convert it: qemu-img convert -O qcow2' },
  { name: 'a VHDX image', begins: [0x76, 0x68, 0x64, 0x78], help: 'convert it: qemu-img convert -O qcow2' },
  { name: 'a picture', begins: [0x89, 0x50, 0x4e, 0x47], help: 'choose a disk image' },
  { name: 'a PDF document', begins: [0x25, 0x50, 0x44, 0x46], help: 'choose a disk image' },
];

export function nameOf(source: ImageSource): string {
  return source.type === 'url' ? source.url : source.file.name;
}

/** Options of a node that reads it. `name`: for what is registered of a File. Errors: in words for whoever has given it. */
export async function imageNode(yard: Blockyard, name: string, source: ImageSource): Promise<JsonObject> {
  // An export shows a disk, whatever format its server keeps it in.
  if (source.type === 'url' && /^wss?:/.test(source.url)) {
    const server = { type: 'ws', url: source.url };
    return { driver: 'raw', file: { driver: 'nbd', server, 'reconnect-delay': retrySeconds } };
  }
  const head = await headOf(source);
  const driver = beginsWith(head, qcow2Magic) ? 'qcow2' : 'raw';
  if (source.type === 'file') {
    await yard.registerBlob(name, source.file);
    return { driver, file: { driver: 'blob', filename: name } };
  }
  return { driver, file: { driver: 'http', url: source.url, 'x-retry': retrySeconds } };
}

/** All of it. Errors: as `imageNode`. */
export async function imageBytes(source: ImageSource): Promise<ArrayBuffer> {
  return source.type === 'file' ? source.file.arrayBuffer() : loadFile(source.url);
}

/** The first sector, of something that can be an image. */
async function headOf(source: ImageSource): Promise<Uint8Array> {
  const what = nameOf(source);
  if (source.type === 'file') {
    if (source.file.size === 0) throw new Error(`${what} is empty: choose a file that holds a disk image.`);
    return checked(what, new Uint8Array(await source.file.slice(0, sectorBytes).arrayBuffer()));
  }
  const answer = await fetched(source.url, { headers: { Range: `bytes=0-${sectorBytes - 1}` } });
  if (answer.headers.get('content-type')?.startsWith('text/html')) {
    await answer.body?.cancel();
    throw new Error(
      `At ${what} there is a web page, not a disk image: is it the address of the file itself?`,
    );
  }
  if (answer.status !== 206) {
    await answer.body?.cancel();
    throw new Error(
      `The server of ${what} sends whole files only (no ranges), so a disk cannot be read from it: download the image, and choose the file.`,
    );
  }
  return checked(what, new Uint8Array(await answer.arrayBuffer()));
}

/** Errors: there is no answer, or another one than that it is there. */
async function fetched(url: string, init: RequestInit): Promise<Response> {
  const answer = await explainedFetch(url, init).catch((error: Error) => {
    const isElsewhere = new URL(url).origin !== location.origin;
    const help = isElsewhere ? ' What this page may not read can be downloaded, and chosen as a file.' : '';
    throw new Error(`${url} cannot be read. ${error.message}.${help}`, { cause: error });
  });
  if (answer.ok) return answer;
  await answer.body?.cancel();
  const what =
    answer.status === 404 ? 'There is nothing' : `The server answers ${answer.status} ${answer.statusText}`;
  throw new Error(`${what} at ${url}: check the address.`);
}

function checked(what: string, head: Uint8Array): Uint8Array {
  const other = otherKinds.find(({ begins }) => beginsWith(head, begins));
  if (other) throw new Error(`${what} is ${other.name}, not a disk image: ${other.help}.`);
  if (head.length < sectorBytes) throw new Error(`${what} is shorter than a sector: it is no disk image.`);
  return head;
}

function beginsWith(head: Uint8Array, bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => head[i] === byte);
}
