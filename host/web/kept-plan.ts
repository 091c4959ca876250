/** A plan as it is kept, and again as a plan: as far as a page can open what it names by itself, which files of this computer are not. */
import { nameOf } from './image-source.ts';
import type { KeptPlan, KeptSource } from './machine-state.ts';
import type { ImageSource, MachinePlan, Media } from './session.ts';

type MediaOf<Source> = Partial<Record<(typeof mediaNames)[number], Source>> & Pick<Media, 'commandLine'>;

const mediaNames = ['secondDisk', 'cd', 'floppy', 'kernel', 'initrd'] as const;

export function keptPlan({ boot, memoryMiB, image, media }: MachinePlan): KeptPlan {
  return {
    boot,
    memoryMiB,
    ...(image ? { image: keptSource(image) } : {}),
    ...(media ? { media: withSources(media, keptSource) } : {}),
  };
}

/** The same media, with each source as `change` gives it; without those of which it gives none. */
function withSources<From, To>(
  { commandLine, ...sources }: MediaOf<From>,
  change: (source: From) => To | undefined,
): MediaOf<To> {
  const changed = mediaNames.flatMap((name) => {
    const source = sources[name] && change(sources[name]);
    return source ? [[name, source] as const] : [];
  });
  return { ...Object.fromEntries(changed), ...(commandLine === undefined ? {} : { commandLine }) };
}

function keptSource(source: ImageSource): KeptSource {
  return source.type === 'url' ? { url: source.url, name: shortName(source.url) } : { name: nameOf(source) };
}

/** Of what the page's own server has, its name there; else all of the address. */
function shortName(url: string): string {
  const { origin, pathname } = new URL(url);
  const name = pathname.slice(pathname.lastIndexOf('/') + 1);
  return origin === location.origin && name !== '' ? decodeURIComponent(name) : url;
}

/** All that it was started from. */
export function sourcesOf({ image, media = {} }: KeptPlan): KeptSource[] {
  return [image, ...mediaNames.map((name) => media[name])].filter((source) => source !== undefined);
}

/** Undefined: it needs files of this computer. */
export function planFromKept(name: string, kept: KeptPlan): MachinePlan | undefined {
  if (sourcesOf(kept).some(({ url }) => url === undefined)) return undefined;
  const open = ({ url }: KeptSource): ImageSource | undefined =>
    url === undefined ? undefined : { type: 'url', url };
  const { boot, memoryMiB, image, media } = kept;
  const plan = { name, boot, memoryMiB, image: image && open(image) };
  return media ? { ...plan, media: withSources(media, open) } : plan;
}
