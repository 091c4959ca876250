/**
 * Which base an overlay was made on: kept in a small file beside the overlay, `OVERLAY.base.json`.
 *
 * An overlay says only what differs from its base. On another base, or on the same one after a change, it reads as a mix
 * of both, and what the guest then writes makes it worse. So what the base says of its state (its length; a web server's
 * ETag or Last-Modified; a file's size and time of change) is written down when the overlay is made and compared when it
 * is opened again.
 */
import { BlockError } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import type { BlockNode } from '../block/node.ts';
import type { Platform } from '../platform/platform.ts';

export interface BaseIdentity {
  /** Of the base as a disk, in bytes. */
  readonly bytes: number;
  /** What its protocol says of the state of the content; absent when that says nothing. */
  readonly version?: string;
}

const suffix = '.base.json';
const maxFileBytes = 64 << 10;

function sideFileOf(overlay: string): string {
  return overlay + suffix;
}

/** Errors: of asking the protocol. */
export async function identifyBase(base: BlockNode): Promise<BaseIdentity> {
  let storage = base;
  for (let below = nextBelow(base); below; below = nextBelow(storage)) storage = below;
  const version = await storage.driver.contentVersion?.();
  return { bytes: base.length, ...withoutUndefined({ version }) };
}

function nextBelow(node: BlockNode): BlockNode | undefined {
  return node.filtered() ?? node.children.get('file')?.node;
}

/** Undefined: there is none. Errors: of the file; EINVAL when it is not what was written. */
export async function readIdentity(platform: Platform, overlay: string): Promise<BaseIdentity | undefined> {
  const path = sideFileOf(overlay);
  try {
    const file = await platform.files.open(path, { write: false });
    try {
      const bytes = new Uint8Array(Math.min(maxFileBytes, await file.getSize()));
      await file.read(0, bytes);
      return parse(path, new TextDecoder().decode(bytes));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof BlockError && error.errno === 'ENOENT') return undefined;
    throw error;
  }
}

/** Durable when it settles. */
export async function writeIdentity(
  platform: Platform,
  overlay: string,
  identity: BaseIdentity,
): Promise<void> {
  const file = await platform.files.open(sideFileOf(overlay), { write: true, create: 'truncate' });
  try {
    await file.write(0, new TextEncoder().encode(`${JSON.stringify(identity)}\n`));
    await file.flush();
  } finally {
    await file.close();
  }
}

/** What changed, in words; undefined: nothing that can be seen. */
export function describeChange(recorded: BaseIdentity, present: BaseIdentity): string | undefined {
  if (recorded.bytes !== present.bytes) {
    return `it had ${recorded.bytes} bytes and now has ${present.bytes}`;
  }
  if (recorded.version !== undefined && recorded.version !== present.version) {
    return `it was ${recorded.version} and now is ${present.version ?? 'of unknown state'}`;
  }
  return undefined;
}

function parse(path: string, text: string): BaseIdentity {
  try {
    const { bytes, version } = JSON.parse(text) as Record<string, unknown>;
    if (typeof bytes === 'number' && (version === undefined || typeof version === 'string')) {
      return { bytes, ...withoutUndefined({ version }) };
    }
  } catch {
    // As any other text that is none of ours.
  }
  throw new BlockError('EINVAL', `'${path}' does not say which base the overlay was made on`);
}
