/**
 * Which meta contexts a client's queries stand for (specification: nbd, section 2).
 *
 * A context is named whole. To list, its namespace will do: `base:`, `qemu:`, `qemu:dirty-bitmap:`; or no query at all, for
 * everything. Queries for what there is not select nothing, and are no error.
 */
import type { MetaContext } from './offer.ts';

/** What is below these can be listed together. */
const namespaces: readonly string[] = ['base:', 'qemu:', 'qemu:dirty-bitmap:'];

/** Those of `offered` that are meant, each once, in the order in which they are offered. */
export function contextsFor(
  offered: readonly MetaContext[],
  queries: readonly string[],
  purpose: 'list' | 'set',
): MetaContext[] {
  if (purpose === 'list' && queries.length === 0) return [...offered];
  return offered.filter(({ name }) =>
    queries.some(
      (query) =>
        query === name || (purpose === 'list' && namespaces.includes(query) && name.startsWith(query)),
    ),
  );
}
