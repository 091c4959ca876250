/** Files in memory for the code that works on whole qcow2 tables, and a way to hand them to real QEMU. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ImageFile, NewImageFile } from '../../../host/formats/qcow2/disk/image-file.ts';

export class MemoryFile implements ImageFile, NewImageFile {
  /** Every write since the last flush, newest last; a flush closes the list and opens a new one. */
  readonly epochs: { offset: number; bytes: Uint8Array }[][] = [[]];

  constructor(public bytes: Uint8Array = new Uint8Array()) {}

  get length(): number {
    return Math.ceil(this.bytes.length / 512) * 512;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    buffer.fill(0);
    if (offset < this.bytes.length) buffer.set(this.bytes.subarray(offset, offset + buffer.length));
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    this.epochs.at(-1)?.push({ offset, bytes: buffer.slice() });
    if (offset + buffer.length > this.bytes.length) await this.truncate(offset + buffer.length);
    this.bytes.set(buffer, offset);
  }

  async truncate(length: number): Promise<void> {
    const bytes = new Uint8Array(length);
    bytes.set(this.bytes.subarray(0, length));
    this.bytes = bytes;
  }

  async flush(): Promise<void> {
    this.epochs.push([]);
  }

  view(): DataView {
    return new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  }
}

/** Runs `body` with the path of a directory that is removed afterwards. */
export async function withDirectory<T>(body: (directory: string) => Promise<T> | T): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'blockyard-qcow2-'));
  try {
    return await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** An image made by the real qemu-img, after `commands` by the real qemu-io. */
export function makeWithQemu(
  options: string,
  size: string,
  commands: readonly string[] = [],
): Promise<MemoryFile> {
  return withDirectory((directory) => {
    const path = join(directory, 'image.qcow2');
    const optionArguments = options === '' ? [] : ['-o', options];
    execFileSync('qemu-img', ['create', '-q', '-u', '-f', 'qcow2', ...optionArguments, path, size]);
    for (const command of commands) {
      if (command.startsWith('snapshot ')) {
        execFileSync('qemu-img', ['snapshot', '-c', command.slice('snapshot '.length), path]);
      } else {
        execFileSync('qemu-io', ['-f', 'qcow2', '-c', command, path], { stdio: 'ignore' });
      }
    }
    return new MemoryFile(new Uint8Array(readFileSync(path)));
  });
}

export interface QemuResult {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a real tool on a copy of the file; `IMAGE` in the arguments is its path. The copy is read back. */
export function runQemu(file: MemoryFile, tool: string, args: readonly string[]): Promise<QemuResult> {
  return withDirectory((directory) => {
    const path = join(directory, 'image.qcow2');
    writeFileSync(path, file.bytes);
    const result = spawnSync(
      tool,
      args.map((argument) => argument.replace('IMAGE', path)),
      { encoding: 'utf8' },
    );
    // A failed qemu-img create removes the file.
    if (existsSync(path)) file.bytes = new Uint8Array(readFileSync(path));
    return {
      status: result.status,
      stdout: result.stdout,
      stderr: result.stderr.replaceAll(path, 'IMAGE').replaceAll(directory, ''),
    };
  });
}
