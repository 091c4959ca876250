/** Nodes of protocols that only read: what is to be done when one is opened for writing. */
import { BlockError } from '../base/errors.ts';
import type { OpenContext } from '../block/open-context.ts';

/** Errors: EACCES with `refusal`, unless the node may be read-only. */
export function requireReadOnly(
  context: Pick<OpenContext, 'flags' | 'fallBackToReadOnly'>,
  refusal: string,
): void {
  const { readOnly, autoReadOnly } = context.flags;
  if (readOnly) return;
  if (!autoReadOnly) throw new BlockError('EACCES', refusal);
  context.fallBackToReadOnly();
}
