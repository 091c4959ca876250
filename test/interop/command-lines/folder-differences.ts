/**
 * How the files of ours differ from those of the real tools: names, lengths, allocation, and what images hold. A file that has not
 * been touched since it was last looked at is not read again.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { TwoFolders } from '../../support/cli.ts';
import { isExplained, type Shape } from './differences.ts';

interface FileFacts extends Shape {
  /** Empty: too large to read. */
  readonly hash: string;
}

const largest = 64 << 20;

/** Changes with every change of the file. */
export function stampOf(path: string): string {
  const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return [ino, size, mtimeNs, ctimeNs].join();
}

export class FolderDifferences {
  /** What has been found of two files, by what they hold. */
  private readonly looked = new Map<string, string[]>();
  /** By path and stamp. */
  private readonly facts = new Map<string, FileFacts>();

  constructor(private readonly folders: TwoFolders) {}

  /** A sentence for each. */
  async find(): Promise<string[]> {
    const { folders, looked } = this;
    const [ours, theirs] = [this.filesOf(folders.ours), this.filesOf(folders.theirs)];
    const found: string[] = [];
    for (const name of new Set([...ours.keys(), ...theirs.keys()])) {
      const [our, their] = [ours.get(name), theirs.get(name)];
      if (!our || !their) found.push(our ? `${name} is only in ours` : `${name} is missing`);
      else {
        if (!isExplained(our, their)) found.push(`${name} is ${inWords(our)}, theirs ${inWords(their)}`);
        if (our.hash !== '' && our.hash === their.hash) continue;
        const pair = `${name} ${our.hash} ${their.hash}`;
        const differences = looked.get(pair) ?? (await this.imageDifferences(name));
        if (our.hash !== '') looked.set(pair, differences);
        found.push(...differences);
      }
    }
    return found;
  }

  private filesOf(folder: string): Map<string, FileFacts> {
    const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
    return new Map(names.map(({ name }) => [name, this.factsOf(join(folder, name))]));
  }

  private factsOf(path: string): FileFacts {
    const key = `${path} ${stampOf(path)}`;
    const known = this.facts.get(key);
    if (known) return known;
    const { size: bytes, blocks } = statSync(path);
    const hash = bytes > largest ? '' : createHash('sha1').update(readFileSync(path)).digest('hex');
    const header = headerOf(path);
    const qcow2 = isQcow2(header) ? { clusterBytes: 2 ** header.readUInt32BE(20) } : {};
    const facts = { bytes, allocated: 512 * blocks, hash, ...qcow2 };
    this.facts.set(key, facts);
    return facts;
  }

  /** Clusters may lie in another order: the disk inside is the same, and sound. */
  private async imageDifferences(name: string): Promise<string[]> {
    const { folders } = this;
    const path = join('..', 'theirs', name);
    // What is before a colon is taken for a protocol.
    const ownPath = `./${name}`;
    const format = isQcow2(headerOf(join(folders.theirs, name))) ? 'qcow2' : 'raw';
    const equal = await folders.realTool('qemu-img', 'compare', '-f', format, '-F', format, path, ownPath);
    const found: string[] = [];
    // An image whose backing file is not there can be read by nobody.
    if (equal.status !== 0 && !equal.stderr.includes('Could not open backing file'))
      found.push(`${name}: ${equal.stdout}${equal.stderr}`);
    if (format === 'raw') return found;
    const [ours, theirs] = await Promise.all([
      folders.realTool('qemu-img', 'check', '-f', 'qcow2', ownPath),
      folders.realTool('qemu-img', 'check', '-f', 'qcow2', path),
    ]);
    const [our, their] = [withoutPlaces(ours.stdout), withoutPlaces(theirs.stdout)];
    if (our !== their) found.push(`${name}: check says ${our}, of theirs ${their}`);
    return found;
  }
}

function inWords({ bytes, allocated }: Shape): string {
  return `${bytes} bytes long and takes ${allocated}`;
}

/** What `check` says, without where clusters lie. */
export function withoutPlaces(text: string): string {
  return text.replace(/[\d.]+% fragmented/, 'fragmented').replace(/Image end offset: \d+/, '');
}

function headerOf(path: string): Buffer {
  const header = Buffer.alloc(32);
  const file = openSync(path, 'r');
  readSync(file, header);
  closeSync(file);
  return header;
}

function isQcow2(header: Buffer): boolean {
  return header.toString('latin1', 0, 4) === 'QFI\xfb';
}
