/**
 * An archive as Linux takes for an initial file system: the "new ASCII" format of cpio. Directories stand before what is
 * in them; owners, times and hard links are left out.
 */

export interface ArchiveEntry {
  /** Without a slash in front. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link';
  /** Of a link: where it leads. */
  readonly data?: Uint8Array;
  readonly executable?: boolean;
}

const types = { file: 0o100000, directory: 0o040000, link: 0o120000 } as const;

export function cpioArchive(entries: readonly ArchiveEntry[]): Uint8Array {
  const parts = entries.map((entry, index) => record(entry, index + 1));
  parts.push(record({ path: 'TRAILER!!!', kind: 'file' }, 0));
  return Buffer.concat(parts);
}

function record({ path, kind, data = new Uint8Array(), executable }: ArchiveEntry, inode: number): Buffer {
  const name = Buffer.from(`${path}\0`);
  const mode = types[kind] | (kind === 'file' && !executable ? 0o644 : 0o755);
  const links = kind === 'directory' ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(header), name])), padded(Buffer.from(data))]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
