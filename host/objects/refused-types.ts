/**
 * The object types that QEMU knows and that are not served, with the names of their options. They are known so that
 * object-add refuses the type, and not the first option of it.
 */
import { any, optional, type StructType, struct } from '../qapi/types.ts';

/** In QEMU's order, but for `throttle-group`, which is served. */
const optionNames: Readonly<Record<string, string>> = {
  'acpi-generic-initiator': 'pci-dev node',
  'acpi-generic-port': 'pci-bus node',
  'authz-list': 'policy rules',
  'authz-listfile': 'filename refresh',
  'authz-pam': 'service',
  'authz-simple': 'identity',
  'can-bus': '',
  'can-host-socketcan': 'if canbus',
  'colo-compare':
    'primary_in secondary_in outdev iothread notify_dev compare_timeout expired_scan_cycle max_queue_size vnet_hdr_support',
  'cryptodev-backend': 'queues throttle-bps throttle-ops',
  'cryptodev-backend-builtin': 'queues throttle-bps throttle-ops',
  'cryptodev-backend-lkcf': 'queues throttle-bps throttle-ops',
  'cryptodev-vhost-user': 'queues throttle-bps throttle-ops chardev',
  'dbus-vmstate': 'addr id-list',
  'filter-buffer': 'netdev queue status position insert interval',
  'filter-dump': 'netdev queue status position insert file maxlen',
  'filter-mirror': 'netdev queue status position insert outdev vnet_hdr_support',
  'filter-redirector': 'netdev queue status position insert indev outdev vnet_hdr_support',
  'filter-replay': 'netdev queue status position insert',
  'filter-rewriter': 'netdev queue status position insert vnet_hdr_support',
  'input-barrier': 'name server port x-origin y-origin width height',
  'input-linux': 'evdev grab_all repeat grab-toggle',
  iommufd: 'fd',
  iothread: 'aio-max-batch thread-pool-min thread-pool-max poll-max-ns poll-grow poll-shrink',
  'main-loop': 'aio-max-batch thread-pool-min thread-pool-max',
  'memory-backend-epc':
    'dump host-nodes merge policy prealloc prealloc-threads prealloc-context share reserve size x-use-canonical-path-for-ramblock-id',
  'memory-backend-file':
    'dump host-nodes merge policy prealloc prealloc-threads prealloc-context share reserve size x-use-canonical-path-for-ramblock-id align offset discard-data mem-path pmem readonly rom',
  'memory-backend-memfd':
    'dump host-nodes merge policy prealloc prealloc-threads prealloc-context share reserve size x-use-canonical-path-for-ramblock-id hugetlb hugetlbsize seal',
  'memory-backend-ram':
    'dump host-nodes merge policy prealloc prealloc-threads prealloc-context share reserve size x-use-canonical-path-for-ramblock-id',
  'memory-backend-shm':
    'dump host-nodes merge policy prealloc prealloc-threads prealloc-context share reserve size x-use-canonical-path-for-ramblock-id',
  'pef-guest': '',
  'pr-manager-helper': 'path',
  qtest: 'chardev log',
  'rng-builtin': 'opened',
  'rng-egd': 'opened chardev',
  'rng-random': 'opened filename',
  secret: 'format keyid iv data file',
  secret_keyring: 'format keyid iv serial',
  'sev-guest':
    'sev-device cbitpos reduced-phys-bits kernel-hashes dh-cert-file session-file policy handle legacy-vm-type',
  'sev-snp-guest':
    'sev-device cbitpos reduced-phys-bits kernel-hashes policy guest-visible-workarounds id-block id-auth author-key-enabled host-data vcek-disabled',
  'thread-context': 'cpu-affinity node-affinity',
  's390-pv-guest': '',
  'tls-creds-anon': 'verify-peer dir endpoint priority',
  'tls-creds-psk': 'verify-peer dir endpoint priority username',
  'tls-creds-x509': 'verify-peer dir endpoint priority sanity-check passwordid',
  'tls-cipher-suites': 'verify-peer dir endpoint priority',
  'x-remote-object': 'fd devid',
  'x-vfio-user-server': 'socket device',
};

export const refusedTypes: Readonly<Record<string, StructType>> = Object.fromEntries(
  Object.entries(optionNames).map(([type, names]) => [
    type,
    struct(
      `${type}-properties`,
      Object.fromEntries(
        names
          .split(' ')
          .filter(Boolean)
          .map((name) => [name, optional(any)]),
      ),
    ),
  ]),
);

const reasons: readonly [RegExp, string][] = [
  [/^secret/, 'images cannot be encrypted'],
  [/^tls-/, 'there is no TLS'],
  [/^authz-/, 'clients are not authorized'],
  [/^(iothread|main-loop|thread-context)$/, 'everything runs in one thread'],
  [/^pr-manager-helper$/, 'there are no persistent reservations'],
];

/** Why an object of this type cannot be had. */
export function refusalOf(type: string): string {
  const reason = reasons.find(([pattern]) => pattern.test(type))?.[1];
  return reason === undefined
    ? `invalid object type: ${type}`
    : `object type '${type}' is not supported: ${reason}`;
}
