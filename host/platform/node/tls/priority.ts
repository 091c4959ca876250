/**
 * Which versions of TLS may be spoken, as GnuTLS writes it: `NORMAL`, and then versions that are taken away (`-`, `!`) or added
 * (`+`): `NORMAL:-VERS-ALL:+VERS-TLS1.2`.
 *
 * 1.2 and 1.3 are spoken; ciphers are what OpenSSL holds safe. Whatever else a priority may say is refused: it must not look as
 * if it were kept to.
 */
import type { SecureContextOptions } from 'node:tls';
import { invalid } from '../../../base/errors.ts';

type Versions = Required<Pick<SecureContextOptions, 'minVersion' | 'maxVersion'>>;

const spoken = ['TLSv1.2', 'TLSv1.3'] as const;

/** Errors: BlockError, for what cannot be kept to. */
export function versionsOf(priority: string | undefined): Versions {
  const [base, ...changes] = priority?.split(':') ?? ['NORMAL'];
  const allowed = new Set<string>(spoken);
  const refused = (): Error =>
    invalid(
      `Priority '${priority}' is not supported`,
      "It may be 'NORMAL', with versions of TLS taken away and added: 'NORMAL:-VERS-TLS1.3'",
    );
  if (base !== 'NORMAL') throw refused();
  for (const change of changes) {
    const [, sign, version] = /^([-!+])VERS-(ALL|TLS-ALL|TLS1\.[0-3])$/.exec(change) ?? [];
    if (version === undefined) throw refused();
    const named = version.endsWith('ALL') ? spoken : [version.replace('TLS', 'TLSv')];
    for (const one of named) {
      if (sign !== '+') allowed.delete(one);
      else if (one === 'TLSv1.2' || one === 'TLSv1.3') allowed.add(one);
      else throw refused();
    }
  }
  const [minVersion, maxVersion] = [
    spoken.find((one) => allowed.has(one)),
    spoken.findLast((one) => allowed.has(one)),
  ];
  if (minVersion === undefined || maxVersion === undefined) throw refused();
  return { minVersion, maxVersion };
}
