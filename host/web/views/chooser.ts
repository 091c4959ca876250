/** Before there is a machine: what to boot. */
import { html, type TemplateResult } from 'lit';
import { bytes } from '../format.ts';
import { imageUrl, machineName } from '../image-names.ts';
import { nameOf } from '../image-source.ts';
import type { ImageSource, MachinePlan, Media } from '../session.ts';
import { mediaFrom, mediaView } from './media.ts';

/** What the server that serves the page has beside it. */
export interface Offer {
  readonly images: readonly { readonly name: string; readonly bytes: number }[];
  /** Whether there is firmware, without which only the embedded guest boots. */
  readonly firmware: boolean;
}

export const noOffer: Offer = { images: [], firmware: false };

function planFrom(form: HTMLFormElement): MachinePlan {
  const data = new FormData(form);
  const memoryMiB = Number(data.get('memory'));
  const media = mediaFrom(data);
  const diskPlan = (image: ImageSource | undefined): MachinePlan => planOfDisk(image, media, memoryMiB);
  const onServer = (name: string): ImageSource => ({
    type: 'url',
    url: imageUrl(name, location.href),
  });
  switch (data.get('source')) {
    case 'image':
      return diskPlan(onServer(String(data.get('image'))));
    case 'url':
      return diskPlan({ type: 'url', url: addressFrom(String(data.get('url'))) });
    case 'file': {
      const file = data.get('file') as File;
      if (file.name === '') throw new Error('Choose a file that holds a disk image.');
      return diskPlan({ type: 'file', file });
    }
    case 'none':
      return diskPlan(undefined);
    default: {
      if (media)
        throw new Error('The embedded guest takes neither media nor another kernel: choose another disk.');
      const base = String(data.get('base') ?? '');
      const image = base === '' ? undefined : onServer(base);
      const name = base === '' ? 'embedded' : machineName(`embedded-${base}`);
      return { name, boot: 'embedded', image, memoryMiB: embeddedMemoryMiB };
    }
  }
}

function planOfDisk(
  image: ImageSource | undefined,
  media: Media | undefined,
  memoryMiB: number,
): MachinePlan {
  const named = image ?? media?.cd ?? media?.kernel ?? media?.floppy ?? media?.secondDisk;
  if (!named) throw new Error('An empty disk alone starts nothing: add a CD, a floppy or a kernel.');
  const name = machineName(nameOf(named));
  return { name, boot: 'disk', image, memoryMiB, ...(media ? { media } : {}) };
}

function addressFrom(text: string): string {
  if (text.trim() === '' || !URL.canParse(text, location.href))
    throw new Error('Type the address of a disk image: https://…');
  return new URL(text, location.href).href;
}

const embeddedMemoryMiB = 32;

export interface ChooserState {
  readonly offer: Offer;
  readonly isStarting: boolean;
  readonly problem: string | undefined;
}

export function chooserView(state: ChooserState, start: (plan: () => MachinePlan) => void): TemplateResult {
  const { offer, isStarting, problem } = state;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    start(() => planFrom(event.target as HTMLFormElement));
  };
  return html`
    <form class="panel chooser" aria-labelledby="chooser-title" aria-busy=${isStarting} @submit=${submit} @input=${choose}>
      <h2 id="chooser-title">Start a machine</h2>
      <p class="hint">
        It runs in this page. Its disks are qcow2 overlays in this browser's storage: what it writes is there again after a
        reload, and the image it was started from is never written.
      </p>
      ${problem === undefined ? undefined : html`<p class="notice error" role="alert">${problem}</p>`}
      <label class="choice">
        <input type="radio" name="source" value="embedded" ?checked=${!startsWithImage(offer)} />
        <b>The embedded guest</b>
        <span class="more"><span class="hint">It writes linked records to two disks as fast as it can, and can prove that a copy
          of both shows one instant.</span>
          ${
            offer.images.length === 0
              ? undefined
              : html`<select name="base" aria-label="What its disks start from">
            <option value="">on disks of its own</option>
            ${offer.images.map(({ name }) => html`<option value=${name}>on disks that start from ${name}</option>`)}
          </select>`
          }</span>
      </label>
      ${offer.images.length === 0 ? undefined : imageChoice(offer)}
      <label class="choice">
        <input type="radio" name="source" value="url" ?disabled=${!offer.firmware} />
        <b>An image at an address</b>
        <span class="more"><input type="url" name="url" placeholder="https://…/disk.qcow2" aria-label="Address of the image" />
          <span class="hint">Read by ranges, as far as the machine reads it. One that begins with ws: or wss: is of an NBD export.${firmwareHint(offer)}</span></span>
      </label>
      <label class="choice">
        <input type="radio" name="source" value="file" ?disabled=${!offer.firmware} />
        <b>An image on this computer</b>
        <span class="more"><input type="file" name="file" aria-label="Image file" />
          <span class="hint">Read where it is; it is not copied.${firmwareHint(offer)}</span></span>
      </label>
      ${mediaView(offer.firmware)}
      <div class="row">
        <label for="memory">Memory</label>
        <select id="memory" name="memory">
          ${[64, 128, 256, 512, 1024].map((mib) => html`<option value=${mib} ?selected=${mib === 256}>${mib} MiB</option>`)}
        </select>
        <button class="primary" type="submit" ?disabled=${isStarting}>${isStarting ? 'Starting …' : 'Start'}</button>
      </div>
    </form>
  `;
}

/** Who fills something in means it. What is beside a disk is for any but the embedded guest's. */
function choose({ target }: Event): void {
  const element = target as HTMLElement;
  const form = element.closest('form')!; // it is heard there
  const isMedium = element.closest('.media') !== null;
  const isEmbedded = new FormData(form).get('source') === 'embedded';
  const radio = isMedium
    ? form.querySelector<HTMLInputElement>('input[name=source][value=none]')
    : element.closest('.choice')?.querySelector<HTMLInputElement>('input[type=radio]');
  if (radio && !radio.disabled && (!isMedium || isEmbedded)) radio.checked = true;
}

function firmwareHint({ firmware }: Offer): string {
  return firmware ? '' : ' It needs firmware: see below.';
}

/** Whoever names an image when starting the server wants that. */
function startsWithImage({ images, firmware }: Offer): boolean {
  return images.length > 0 && firmware;
}

function imageChoice(offer: Offer): TemplateResult {
  return html`
    <label class="choice">
      <input type="radio" name="source" value="image" ?disabled=${!offer.firmware} ?checked=${startsWithImage(offer)} />
      <b>An image of this server</b>
      <span class="more"><select name="image" aria-label="Image">
        ${offer.images.map(({ name, bytes: size }) => html`<option value=${name}>${name} (${bytes(size)})</option>`)}
      </select></span>
    </label>
  `;
}
