/** A plan as it is kept, and again as a plan: as far as a page can open what it names by itself, which files of this computer are not. */
import { nameOf } from './image-source.ts';
import type { KeptMedia, KeptPlan, KeptSource } from './machine-state.ts';
import type { ImageSource, MachinePlan, Media } from './session.ts';

const mediaNames = ['secondDisk', 'cd', 'floppy', 'kernel', 'initrd'] as const;

export function keptPlan({ boot, memoryMiB, image, media }: MachinePlan): KeptPlan {
  return {
    boot,
    memoryMiB,
    ...(image ? { image: keptSource(image) } : {}),
    ...(media ? { media: keptMedia(media) } : {}),
  };
}

function keptMedia({ commandLine, ...sources }: Media): KeptMedia {
  const kept = mediaNames.flatMap((name) => {
    const source = sources[name];
    return source ? [[name, keptSource(source)] as const] : [];
  });
  return { ...Object.fromEntries(kept), ...(commandLine === undefined ? {} : { commandLine }) };
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
  const open = (source: KeptSource | undefined): ImageSource | undefined =>
    source?.url === undefined ? undefined : { type: 'url', url: source.url };
  const { boot, memoryMiB, image, media } = kept;
  const plan = { name, boot, memoryMiB, image: open(image) };
  if (!media) return plan;
  const sources = mediaNames.flatMap((one) => {
    const source = open(media[one]);
    return source ? [[one, source] as const] : [];
  });
  const { commandLine } = media;
  const found: Media = {
    ...Object.fromEntries(sources),
    ...(commandLine === undefined ? {} : { commandLine }),
  };
  return { ...plan, media: found };
}
