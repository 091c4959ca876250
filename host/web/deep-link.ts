/**
 * Links that say what to start: what stands behind the `#` of the page's address, in the form of a query.
 *
 * | key | is |
 * |---|---|
 * | `image` | the disk: the name of an image of the page's server, or an address |
 * | `disk2`, `cd`, `floppy`, `kernel`, `initrd` | likewise |
 * | `cmdline` | of the kernel |
 * | `memory` | MiB, one of those that the page offers |
 *
 * A link fills in the choice; only who reads it starts the machine.
 */

import { imageUrl } from './image-names.ts';
import type { Offer } from './views/chooser.ts';
import { mediaKeys } from './views/media.ts';

const known: readonly string[] = ['image', 'cmdline', 'memory', ...mediaKeys];

/** What a link fills in, by the names of the fields; `source` is the choice that it makes. */
interface LinkedChoice {
  readonly source: 'image' | 'url' | 'none';
  readonly fields: ReadonlyMap<string, string>;
}

/** Undefined: the hash says nothing. Errors: in words for whoever has followed the link. */
export function readLink(hash: string, offer: Offer, page: string): LinkedChoice | undefined {
  const given = new URLSearchParams(hash.replace(/^#/, ''));
  if (given.size === 0) return undefined;
  const strange = [...given.keys()].find((key) => !known.includes(key));
  if (strange !== undefined)
    throw new Error(`The link says “${strange}”, which is none of ${known.join(', ')}.`);
  const fields = new Map<string, string>();
  for (const key of ['cmdline', 'memory']) {
    const value = given.get(key);
    if (value !== null) fields.set(key, value);
  }
  const isOffered = (name: string): boolean => offer.images.some((image) => image.name === name);
  for (const key of mediaKeys) {
    const value = given.get(key);
    if (value !== null)
      fields.set(`${key}-url`, isOffered(value) ? imageUrl(value, page) : address(value, page));
  }
  const image = given.get('image');
  if (image === null) return { source: 'none', fields };
  if (isOffered(image)) return { source: 'image', fields: fields.set('image', image) };
  return { source: 'url', fields: fields.set('url', address(image, page)) };
}

function address(text: string, page: string): string {
  const url = URL.canParse(text, page) ? new URL(text, page) : undefined;
  if (text === '' || !url || !/^(https?|wss?):$/.test(url.protocol))
    throw new Error(`The link names “${text}”, which is no address of a web server.`);
  return url.href;
}

/** Makes the choice in the form. Errors: the form has no such value, or cannot be told to. */
export function fillIn(form: HTMLFormElement, { source, fields }: LinkedChoice): void {
  const radio = form.querySelector<HTMLInputElement>(`input[name=source][value=${source}]`);
  if (!radio || radio.disabled)
    throw new Error('The link asks for an image, which needs firmware to start: see `blockyard web --help`.');
  radio.checked = true;
  for (const [name, value] of fields) {
    const field = form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement;
    field.value = value;
    if (field.value !== value) throw new Error(`The link says ${name}=${value}, which cannot be had here.`);
    const more = field.closest('details');
    if (more) more.open = true;
  }
}
