/** The page as it was built, v86 and firmware, for a web server of a test: as `blockyard web` serves them. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Offer } from '../../host/web/views/chooser.ts';
import { requireAll } from './tools.ts';

const root = resolve(import.meta.dirname, '../..');
const firmware = '/usr/share/seabios';

export const haveFirmware = requireAll || existsSync(join(firmware, 'bios.bin'));

/** `images`: whole, by their names in the page. */
export function findInPage(
  path: string,
  images: ReadonlyMap<string, Uint8Array>,
): Uint8Array | string | undefined {
  if (path === '/offer.json') {
    const offer: Offer = {
      images: [...images].map(([name, { length }]) => ({ name, bytes: length })),
      firmware: haveFirmware,
    };
    return JSON.stringify(offer);
  }
  const image = /^\/images\/(.*)$/.exec(path)?.[1];
  if (image !== undefined) return images.get(image);
  const file = fileOf(path);
  return existsSync(file) ? readFileSync(file) : undefined;
}

function fileOf(path: string): string {
  const [, folder, name] = /^\/(?:(browser|v86|firmware)\/)?(.*)$/.exec(path)!; // every path begins so
  if (folder === 'browser') return join(root, 'dist/browser', name!);
  if (folder === 'v86') return join(root, 'node_modules/v86/build', name!);
  if (folder === 'firmware') return join(firmware, name!.replace('vgabios.bin', 'vgabios-stdvga.bin'));
  return join(root, 'dist/web', name || 'index.html');
}
