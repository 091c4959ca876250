/**
 * TLS without anything that would show who is who: a key exchange, and nothing to prove. It keeps out who only listens, not who
 * stands in between. TLS 1.3 does not have it.
 */
import type { CommonOptions } from '../../tls.ts';
import { NodeCredentials } from './credentials.ts';
import { versionsOf } from './priority.ts';

/** With long keys alone: the strength of the exchange follows from theirs. OpenSSL takes those without names for no security. */
const ciphers = 'ADH-AES256-GCM-SHA384:@SECLEVEL=0';

export async function anonymous({ endpoint, priority }: CommonOptions): Promise<NodeCredentials> {
  const versions = { ...versionsOf(priority), maxVersion: 'TLSv1.2' } as const;
  return new NodeCredentials(endpoint, { ...versions, ciphers, dhparam: 'auto' }, false);
}
