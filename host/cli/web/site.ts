/**
 * What there is to ask for: the page, the library that it loads, v86, the images and firmware that were named on the command line,
 * and the list of them, `offer.json`.
 *
 * A path is looked up piece by piece, each decoded by itself. Names of images are keys and never become paths; of the folders there
 * is what has a plain name, so nothing leads out of them, and nothing hidden is served. An image is bytes, whatever
 * its name ends in.
 */
import { statSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { ServedFile } from './file-answer.ts';

const bytesType = 'application/octet-stream';

const typesOfPage: Readonly<Record<string, string>> = {
  '.html': 'text/html;charset=utf-8',
  '.css': 'text/css;charset=utf-8',
  '.js': 'text/javascript;charset=utf-8',
  '.mjs': 'text/javascript;charset=utf-8',
  '.wasm': 'application/wasm',
};

export interface SiteFolder {
  readonly path: string;
  /** Where the compressed forms of its files are, under the same names and what these forms add. */
  readonly compressed?: string;
}

interface SiteOptions {
  /** The page is in it. */
  readonly page: SiteFolder;
  /** Served below `/NAME/`. */
  readonly folders: ReadonlyMap<string, SiteFolder>;
  /** Paths of images, by the names that they have in the page. */
  readonly images: ReadonlyMap<string, string>;
  readonly bios: string | undefined;
  readonly vgaBios: string | undefined;
}

export class Site {
  /** What the page can choose from, as JSON. */
  readonly offer: string;

  constructor(private readonly options: SiteOptions) {
    const { images, bios, vgaBios } = options;
    this.offer = JSON.stringify({
      images: [...images].map(([name, path]) => ({ name, bytes: statSync(path).size })),
      firmware: bios !== undefined && vgaBios !== undefined,
    });
  }

  /** `target`: of a request, or the URL that it is. */
  find(target: string): ServedFile | 'offer' | undefined {
    const pieces = piecesOf(target);
    if (!pieces) return undefined;
    const [first = '', ...rest] = pieces;
    const [name] = rest;
    const { page, folders, images, bios, vgaBios } = this.options;
    if (name === undefined && first === 'offer.json') return 'offer';
    if (name === undefined && first === '') return inFolder(page, ['index.html']);
    if (first === 'images') return rest.length === 1 ? asBytes(images.get(name!)) : undefined; // the one of `rest`
    if (first === 'firmware' && name === 'bios.bin') return asBytes(bios);
    if (first === 'firmware' && name === 'vgabios.bin') return asBytes(vgaBios);
    const folder = folders.get(first);
    return folder === undefined ? inFolder(page, pieces) : inFolder(folder, rest);
  }
}

/** Undefined when it is not a path. */
function piecesOf(target: string): string[] | undefined {
  const [path] = target.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/, 1);
  if (path !== '' && !path?.startsWith('/')) return undefined;
  try {
    return path.slice(1).split('/').map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function asBytes(path: string | undefined): ServedFile | undefined {
  return path === undefined ? undefined : { path, type: bytesType };
}

function inFolder({ path, compressed }: SiteFolder, pieces: readonly string[]): ServedFile | undefined {
  if (pieces.length === 0 || !pieces.every((piece) => /^\w[\w.-]*$/.test(piece))) return undefined;
  const type = typesOfPage[extname(pieces.at(-1) ?? '')] ?? bytesType;
  const file = { path: join(path, ...pieces), type };
  return compressed === undefined ? file : { ...file, compressed: join(compressed, ...pieces) };
}
