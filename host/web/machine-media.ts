/**
 * What a machine has beside its disks, as options of v86: a CD is a node of the block layer like any disk and is read as far as the
 * machine reads it; floppy, kernel and initrd are read whole before it starts.
 */
import type { Blockyard, V86Disk } from '../library/index.ts';
import { imageBytes, imageNode } from './image-source.ts';
import type { MachinePlan } from './session.ts';

export const cdNode = 'cd';

/** v86's words for the drive that the firmware tries first. */
const cdFirst = 0x213;

interface MediaOptions {
  readonly options: Readonly<Record<string, unknown>>;
  /** To be taken away with the machine. */
  readonly drives: readonly V86Disk[];
}

/** The node of a CD is open afterwards. Errors: of the images, in words. */
export async function mediaOptions(
  yard: Blockyard,
  { media = {}, image }: MachinePlan,
): Promise<MediaOptions> {
  const { cd, floppy, kernel, initrd, commandLine } = media;
  const options: Record<string, unknown> = {};
  // What is read whole comes first: nothing is open yet when it cannot be.
  const whole = { fda: floppy, bzimage: kernel, initrd };
  for (const [option, source] of Object.entries(whole)) {
    if (source) options[option] = { buffer: await imageBytes(source) };
  }
  if (commandLine !== undefined) options['cmdline'] = commandLine;
  if (!cd) return { options, drives: [] };
  await yard.add({ ...(await imageNode(yard, 'cd', cd)), 'node-name': cdNode, 'read-only': true });
  const cdrom = await yard.disk({ node: cdNode, kind: 'cdrom' });
  return { options: { ...options, cdrom, ...(image ? {} : { boot_order: cdFirst }) }, drives: [cdrom] };
}
