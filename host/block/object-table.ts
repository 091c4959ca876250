/**
 * The objects that users have made (objects/), as far as nodes and exports need them: by id, with what others may use each for.
 *
 * Whoever names an object hears in QEMU's words that there is none, or that it is of another kind.
 */
import { AttachmentKey } from '../base/attachments.ts';
import { invalid } from '../base/errors.ts';
import type { TlsCredentials, TlsEndpoint } from '../platform/tls.ts';
import type { BlockGraph } from './graph.ts';

/** What an object is good for; most are for nothing of this. */
export interface GraphObject {
  /** What it keeps secret. */
  readonly secret?: Uint8Array;
  readonly credentials?: TlsCredentials;
  /** Whether whoever is called that may do what the object is named for. */
  allows?(identity: string): boolean;
}

const tableKey = new AttachmentKey(() => new ObjectTable());

/** The objects of `graph`. */
export function objectTableOf(graph: BlockGraph): ObjectTable {
  return graph.attachments.get(tableKey);
}

class ObjectTable {
  private readonly byId = new Map<string, GraphObject>();

  set(id: string, object: GraphObject): void {
    this.byId.set(id, object);
  }

  delete(id: string): void {
    this.byId.delete(id);
  }

  /** Throws BlockError. */
  secret(id: string): Uint8Array {
    const object = this.byId.get(id);
    if (!object) throw invalid(`No secret with id '${id}'`);
    if (!object.secret) throw invalid(`Object with id '${id}' is not a secret`);
    return object.secret;
  }

  /** Throws BlockError. */
  credentials(id: string, endpoint: TlsEndpoint): TlsCredentials {
    const object = this.byId.get(id);
    if (!object) throw invalid(`No TLS credentials with id '${id}'`);
    if (!object.credentials) throw invalid(`Object with id '${id}' is not TLS credentials`);
    if (object.credentials.endpoint !== endpoint)
      throw invalid(`Expected TLS credentials for a ${endpoint} endpoint`);
    return object.credentials;
  }

  /** Whether the object says that whoever is called `identity` may. Throws BlockError: it is none that says such things. */
  allows(id: string, identity: string): boolean {
    const object = this.byId.get(id);
    if (!object) throw invalid(`Cannot find QAuthZ object ID ${id}`);
    if (!object.allows) throw invalid(`Object '${id}' is not a QAuthZ subclass`);
    return object.allows(identity);
  }
}
