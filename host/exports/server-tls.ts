/**
 * How clients of a server are made secure, and who of them may come (specification: nbd, section 9).
 *
 * Whether somebody may is asked of an object by its id, each time somebody comes: it need not be there before. Only those are
 * asked about who have shown a certificate, as in QEMU.
 */
import { invalid } from '../base/errors.ts';
import type { BlockGraph } from '../block/graph.ts';
import { objectTableOf } from '../block/object-table.ts';
import type { Secure } from '../platform/tls.ts';

/** By ids of objects; undefined: as anybody comes. Throws BlockError: they are no credentials of a server. */
export function secureClients(
  graph: BlockGraph,
  credentialsId: string | undefined,
  authorizationId: string | undefined,
): Secure | undefined {
  if (credentialsId === undefined) return undefined;
  const table = objectTableOf(graph);
  const credentials = table.credentials(credentialsId, 'server');
  return async (given) => {
    const { connection, peerName } = await credentials.accept(given);
    try {
      if (authorizationId === undefined || peerName === undefined) return connection;
      if (table.allows(authorizationId, peerName)) return connection;
      throw invalid(`TLS x509 authz check for ${peerName} is denied`);
    } catch (error) {
      connection.close();
      throw error;
    }
  };
}
