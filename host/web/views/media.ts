/** What a machine may have beside its first disk: a second one, CD, floppy, a kernel that is started by itself. */
import { html, type TemplateResult } from 'lit';
import type { ImageSource, Media } from '../session.ts';

interface Medium {
  /** Of the fields: `KEY-url`, `KEY-file`. */
  readonly key: string;
  readonly member: Exclude<keyof Media, 'commandLine'>;
  readonly title: string;
  readonly hint: string;
}

const all: readonly Medium[] = [
  {
    key: 'disk2',
    member: 'secondDisk',
    title: 'Second disk',
    hint: 'What is written to it is kept, as with the first.',
  },
  {
    key: 'cd',
    member: 'cd',
    title: 'CD',
    hint: 'An ISO image. With an empty disk the machine starts from it.',
  },
  { key: 'floppy', member: 'floppy', title: 'Floppy', hint: 'Read whole; what is written to it is lost.' },
  {
    key: 'kernel',
    member: 'kernel',
    title: 'Linux kernel',
    hint: 'A bzImage (vmlinuz), started instead of what is on the disk.',
  },
  { key: 'initrd', member: 'initrd', title: 'Initrd', hint: 'For the kernel.' },
];

export const mediaKeys: readonly string[] = all.map(({ key }) => key);

export function mediaView(isEnabled: boolean): TemplateResult {
  return html`
    <label class="choice">
      <input type="radio" name="source" value="none" ?disabled=${!isEnabled} />
      <b>An empty disk</b>
      <span class="more"><span class="hint">To install a system on it, or beside what is added here:</span></span>
    </label>
    <details class="media">
      <summary>CD, floppy, kernel, second disk</summary>
      <p class="hint">From an address or a file of this computer. Files can be dropped on this page, several at once.</p>
      ${all.map(mediumView)}
      <label class="medium"><b>Command line</b>
        <input type="text" name="cmdline" autocomplete="off" spellcheck="false" placeholder="console=ttyS0" />
        <span class="hint">Of the kernel.</span>
      </label>
    </details>
  `;
}

function mediumView({ key, title, hint }: Medium): TemplateResult {
  return html`
    <fieldset class="medium">
      <legend>${title}</legend>
      <input type="url" name="${key}-url" placeholder="https://…" aria-label="${title}: address" />
      <input type="file" name="${key}-file" aria-label="${title}: file" />
      <span class="hint">${hint}</span>
    </fieldset>
  `;
}

/** Undefined: nothing was added. Errors: a thing that is given twice, or that needs another one. */
export function mediaFrom(data: FormData): Media | undefined {
  const sources = all.flatMap((medium) => {
    const source = sourceOf(medium, data);
    return source ? [[medium.member, source] as const] : [];
  });
  const commandLine = String(data.get('cmdline') ?? '').trim();
  if (sources.length === 0 && commandLine === '') return undefined;
  const media: Media = { ...Object.fromEntries(sources), ...(commandLine === '' ? {} : { commandLine }) };
  if (!media.kernel && (media.initrd || media.commandLine !== undefined))
    throw new Error('An initrd and a command line are for a kernel: add one.');
  return media;
}

function sourceOf({ key, title }: Medium, data: FormData): ImageSource | undefined {
  const url = String(data.get(`${key}-url`) ?? '').trim();
  const file = data.get(`${key}-file`);
  const hasFile = file instanceof File && file.name !== '';
  if (url !== '' && hasFile) throw new Error(`${title}: either an address or a file.`);
  if (hasFile) return { type: 'file', file };
  return url === '' ? undefined : { type: 'url', url: new URL(url, location.href).href };
}
