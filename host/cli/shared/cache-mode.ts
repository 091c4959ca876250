/** Cache modes of the tools' `-t` and `-T` (specification: graph, section 9). */
import type { OpenFlags } from '../../block/open-context.ts';

export interface CacheMode {
  flags: Pick<OpenFlags, 'direct' | 'noFlush'>;
  /** Every write is durable before it completes. */
  writethrough: boolean;
}

const modes: Readonly<Record<string, CacheMode>> = {
  none: { flags: { direct: true, noFlush: false }, writethrough: false },
  off: { flags: { direct: true, noFlush: false }, writethrough: false },
  writeback: { flags: { direct: false, noFlush: false }, writethrough: false },
  unsafe: { flags: { direct: false, noFlush: true }, writethrough: false },
  writethrough: { flags: { direct: false, noFlush: false }, writethrough: true },
  directsync: { flags: { direct: true, noFlush: false }, writethrough: true },
};

/** Undefined for a name that is none. */
export function parseCacheMode(name: string): CacheMode | undefined {
  return Object.hasOwn(modes, name) ? modes[name] : undefined;
}
