/** `--object TYPE,id=ID,…`: the types QEMU has, none of which is served. */
import { invalid } from '../../base/errors.ts';
import { parseJson } from '../../qapi/json.ts';
import { isJsonObject } from '../../qapi/json-value.ts';
import { parseKeyval } from '../../qapi/keyval.ts';

const knownTypes = [
  'authz-list',
  'authz-list-file',
  'authz-simple',
  'iothread',
  'secret',
  'secret_keyring',
  'throttle-group',
  'tls-cipher-suites',
  'tls-creds-anon',
  'tls-creds-psk',
  'tls-creds-x509',
];

export function refuseObject(text: string): never {
  const values = text.startsWith('{') ? parseJson(text) : parseKeyval(text, 'qom-type').values;
  const type = isJsonObject(values) ? values['qom-type'] : undefined;
  if (typeof type !== 'string') throw invalid("Parameter 'qom-type' is missing");
  if (knownTypes.includes(type)) throw invalid(`object type '${type}' is not supported`);
  throw invalid(`Parameter 'qom-type' does not accept value '${type}'`);
}
