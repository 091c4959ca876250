/**
 * `tls-creds-x509`, `tls-creds-psk`, `tls-creds-anon`: what the NBD server and its clients speak TLS with (specification: nbd,
 * section 9).
 *
 * Files are read when the object is made; what is used keeps its credentials when the object is deleted. Properties can be
 * changed, as QEMU lets them be, and nothing follows from it.
 */
import { BlockError, invalid } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import type { BlockGraph } from '../block/graph.ts';
import { objectTableOf } from '../block/object-table.ts';
import type { Tls } from '../platform/tls.ts';
import { bool, enumeration, optional, str, struct, type TypeOf } from '../qapi/types.ts';
import type { ObjectType, UserObject } from './object-type.ts';
import { plainProperty } from './properties.ts';
import type { QomProperty } from './qom.ts';

const endpointType = enumeration('QCryptoTLSCredsEndpoint', ['client', 'server']);
const common = {
  'verify-peer': optional(bool),
  dir: optional(str),
  endpoint: optional(endpointType),
  priority: optional(str),
};
const commonType = struct('TlsCredsProperties', common);
const x509Type = struct('TlsCredsX509Properties', {
  ...common,
  'sanity-check': optional(bool),
  passwordid: optional(str),
});
const pskType = struct('TlsCredsPskProperties', { ...common, username: optional(str) });

type Common = TypeOf<typeof commonType>;

const defaultEndpoint = 'client';
/** Whose key a client uses when nobody says. */
const defaultUsername = 'qemu';

export const tlsCredsX509: ObjectType<TypeOf<typeof x509Type>> = {
  name: 'tls-creds-x509',
  options: x509Type,
  async create({ graph }, _, options): Promise<UserObject> {
    const { 'sanity-check': checks = true, passwordid } = options;
    const credentials = await tlsOf(graph).x509({
      ...commonOf(options),
      directory: directoryOf(options),
      verifyPeer: options['verify-peer'] ?? true,
      checks,
      ...(passwordid === undefined ? {} : { password: objectTableOf(graph).secret(passwordid) }),
    });
    return {
      typeName: 'tls-creds-x509',
      credentials,
      properties: [
        ...commonProperties(options),
        plainProperty('sanity-check', bool, checks),
        plainProperty('passwordid', str, passwordid ?? ''),
      ],
    };
  },
};

export const tlsCredsPsk: ObjectType<TypeOf<typeof pskType>> = {
  name: 'tls-creds-psk',
  options: pskType,
  async create({ graph }, _, options): Promise<UserObject> {
    const directory = directoryOf(options);
    const { endpoint = defaultEndpoint, username } = options;
    if (endpoint === 'server' && username !== undefined)
      throw invalid('username should not be set when endpoint=server');
    const credentials = await tlsOf(graph).psk({
      ...commonOf(options),
      directory,
      username: username ?? defaultUsername,
    });
    const properties = [...commonProperties(options), plainProperty('username', str, username ?? '')];
    return { typeName: 'tls-creds-psk', credentials, properties };
  },
};

export const tlsCredsAnon: ObjectType<Common> = {
  name: 'tls-creds-anon',
  options: commonType,
  async create({ graph }, _, options): Promise<UserObject> {
    const credentials = await tlsOf(graph).anonymous(commonOf(options));
    return { typeName: 'tls-creds-anon', credentials, properties: commonProperties(options) };
  },
};

function tlsOf({ platform }: BlockGraph): Tls {
  if (!platform.tls) throw new BlockError('ENOTSUP', 'There is no TLS here');
  return platform.tls;
}

function commonOf({ endpoint = defaultEndpoint, priority }: Common) {
  return { endpoint, ...withoutUndefined({ priority }) };
}

function directoryOf({ dir }: Common): string {
  if (dir === undefined) throw invalid("Missing 'dir' property value");
  return dir;
}

/** In the order in which qom-list has them. */
function commonProperties(options: Common): QomProperty[] {
  return [
    plainProperty('endpoint', endpointType, options.endpoint ?? defaultEndpoint),
    plainProperty('dir', str, options.dir ?? ''),
    plainProperty('verify-peer', bool, options['verify-peer'] ?? true),
    plainProperty('priority', str, options.priority ?? ''),
  ];
}
