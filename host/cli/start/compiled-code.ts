/**
 * V8's compiled code for the chunks of the program: what a start would spend most of its time on is kept in a file for the next one, which
 * also has the functions that were compiled as they were called. A file for each command, in one of two places, a folder in it for each
 * build and version of Node:
 *
 *    compiled/              beside the program, if its folder is ours
 *    ~/.cache/blockyard/    the user's, or $XDG_CACHE_HOME/blockyard/
 *
 *    file: a line of JSON, [[chunk, bytes], …], then the code of each; all of it starts at multiples of 8 bytes
 *
 * Code that is loaded is run: it must come from this user or from the owner of the program, and nobody else may write there. Whatever is
 * wrong with a file, or keeps us from writing it, the program is compiled as if there were none, and nothing is said. V8 itself refuses
 * what another version of it made, and takes what is as long as the source for its compilation: so the name of the folder says the build.
 * NODE_DISABLE_COMPILE_CACHE turns it off, as it does Node's own.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';

/** Set by the build: another one whenever a chunk is. */
declare const buildName: string;

const alignment = 8;
/** Of builds and versions of Node that nobody uses any more. */
const forgottenAfterMs = 30 * 24 * 60 * 60 * 1000;
const writableByOthers = 0o022;

interface Place {
  readonly path: string;
  /** The folder that tells whether it is ours. */
  readonly of: string;
}

export class CompiledCode {
  private readonly kept = new Map<string, Uint8Array>();
  /** Without code that was kept, by their paths. */
  private readonly compiled = new Map<string, Script>();
  private readonly file: string | undefined;

  /** `command`: undefined if it is not known to be one. */
  constructor(command: string | undefined) {
    const isOff = process.env['NODE_DISABLE_COMPILE_CACHE'] || process.env['NODE_V8_COVERAGE'];
    if (command === undefined || isOff) return;
    this.file = join(`${buildName}-${process.version}-${process.arch}`, command);
    for (const { path } of places()) {
      if (this.read(join(path, this.file))) return;
      this.kept.clear();
    }
  }

  /** Runs the script at `path`, and gives its value. */
  run(path: string): unknown {
    const cachedData = this.kept.get(path);
    const options = cachedData ? { filename: path, cachedData } : { filename: path };
    const script = new Script(readFileSync(path, 'latin1'), options);
    if (!cachedData || script.cachedDataRejected) this.compiled.set(path, script);
    return script.runInThisContext();
  }

  /** Keeps what had to be compiled, with what was kept before. */
  keep(): void {
    if (this.file === undefined || this.compiled.size === 0) return;
    for (const place of places()) {
      if (this.write(place, this.file)) return;
    }
  }

  /** False when there is none that can be trusted. */
  private read(path: string): boolean {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch {
      return false;
    }
    try {
      if (!isTrusted(fstatSync(fd))) return false;
      const bytes = readFileSync(fd);
      const headBytes = bytes.indexOf('\n') + 1;
      let at = aligned(headBytes);
      const table = JSON.parse(bytes.toString('latin1', 0, headBytes)) as [chunk: string, bytes: number][];
      for (const [chunk, length] of table) {
        this.kept.set(join(import.meta.dirname, chunk), bytes.subarray(at, at + length));
        at += aligned(length);
      }
      return at === bytes.length;
    } catch {
      return false;
    } finally {
      closeSync(fd);
    }
  }

  private write({ path, of }: Place, file: string): boolean {
    try {
      if (!isOurs(statSync(of))) return false;
      const folder = join(path, file, '..');
      if (mkdirSync(folder, { recursive: true, mode: 0o755 }) !== undefined) forgetOthers(path);
      if (!isOurs(statSync(folder))) return false;
      const temporary = join(path, `${file}.${process.pid}`);
      const fd = openSync(temporary, 'wx', 0o644);
      try {
        writeSync(fd, this.contents());
        // After a crash there is all of it or nothing.
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, join(path, file));
      return true;
    } catch {
      return false;
    }
  }

  private contents(): Buffer {
    const code = new Map(this.kept);
    for (const [path, script] of this.compiled) code.set(path, script.createCachedData());
    const table = [...code].map(([path, { length }]) => [path.slice(import.meta.dirname.length), length]);
    const parts = [Buffer.from(`${JSON.stringify(table)}\n`), ...code.values()];
    return Buffer.concat(parts.flatMap((part) => [part, new Uint8Array(aligned(part.length) - part.length)]));
  }
}

/** Where it is looked for and kept, the best first. */
function places(): Place[] {
  const { XDG_CACHE_HOME: cache, HOME: home } = process.env;
  const beside = { path: join(import.meta.dirname, 'compiled'), of: import.meta.dirname };
  if (cache) return [beside, { path: join(cache, 'blockyard'), of: cache }];
  return home ? [beside, { path: join(home, '.cache/blockyard'), of: home }] : [beside];
}

/** Where there are no owners (Windows), all is ours. */
function isOurs({ uid, mode }: Stats): boolean {
  const user = process.geteuid?.();
  return user === undefined || (uid === user && (mode & writableByOthers) === 0);
}

/** The owner of the program could as well change that. */
function isTrusted(stats: Stats): boolean {
  if (isOurs(stats)) return true;
  return stats.uid === statSync(import.meta.filename).uid && (stats.mode & writableByOthers) === 0;
}

function forgetOthers(place: string): void {
  for (const name of readdirSync(place)) {
    const folder = join(place, name);
    if (Date.now() - statSync(folder).mtimeMs > forgottenAfterMs) rmSync(folder, { recursive: true });
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
