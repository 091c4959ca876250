/**
 * The object types that QEMU knows and that are not served, or not everywhere (host-types.ts). They are known so that object-add
 * refuses the type, and not the first option of it. The names of their options are known to command lines alone
 * (cli/shared/object-types.ts).
 */
import type { StructType } from '../qapi/types.ts';

/** In QEMU's order, but for those that are served. */
const names =
  'acpi-generic-initiator acpi-generic-port authz-list authz-listfile authz-pam authz-simple can-bus can-host-socketcan colo-compare cryptodev-backend cryptodev-backend-builtin cryptodev-backend-lkcf cryptodev-vhost-user dbus-vmstate filter-buffer filter-dump filter-mirror filter-redirector filter-replay filter-rewriter input-barrier input-linux iommufd memory-backend-epc memory-backend-file memory-backend-memfd memory-backend-ram memory-backend-shm pef-guest pr-manager-helper qtest rng-builtin rng-egd rng-random secret secret_keyring sev-guest sev-snp-guest thread-context s390-pv-guest tls-creds-anon tls-creds-psk tls-creds-x509 tls-cipher-suites x-remote-object x-vfio-user-server';

export const refusedTypes: Readonly<Record<string, StructType>> = Object.fromEntries(
  names
    .split(' ')
    .map((type) => [type, { kind: 'struct', name: `${type}-properties`, members: [], isOpen: true }]),
);

const reasons: readonly [RegExp, string][] = [
  [/^secret/, 'there is no keyring of the kernel'],
  [/^tls-creds-/, 'there is no TLS here'],
  [/^thread-context$/, 'everything runs in one thread'],
  [/^pr-manager-helper$/, 'there are no persistent reservations'],
];

/** Why an object of this type cannot be had. */
export function refusalOf(type: string): string {
  const reason = reasons.find(([pattern]) => pattern.test(type))?.[1];
  return reason === undefined
    ? `invalid object type: ${type}`
    : `object type '${type}' is not supported: ${reason}`;
}
