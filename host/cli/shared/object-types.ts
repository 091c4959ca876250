/**
 * Types of objects as command lines and their monitors know them: with the names of the options of those that are not
 * served, so that an option that is unknown is refused before the type is. A page does without the names.
 */
import { hostObjectTypes } from '../../objects/host-types.ts';
import { refusedTypes } from '../../objects/refused-types.ts';
import { objectOptionsOf } from '../../objects/types.ts';
import { any, optional, type StructType, struct } from '../../qapi/types.ts';
import type { AnyCommand } from '../../qmp/command.ts';

/** Those that are not here have none. */
const optionNames: Readonly<Record<string, string>> = {
  'acpi-generic-initiator': 'pci-dev node',
  'acpi-generic-port': 'pci-bus node',
  'authz-listfile': 'filename refresh',
  'authz-pam': 'service',
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
  'pr-manager-helper': 'path',
  qtest: 'chardev log',
  'rng-builtin': 'opened',
  'rng-egd': 'opened chardev',
  'rng-random': 'opened filename',
  secret_keyring: 'format keyid iv serial',
  'sev-guest':
    'sev-device cbitpos reduced-phys-bits kernel-hashes dh-cert-file session-file policy handle legacy-vm-type',
  'sev-snp-guest':
    'sev-device cbitpos reduced-phys-bits kernel-hashes policy guest-visible-workarounds id-block id-auth author-key-enabled host-data vcek-disabled',
  'thread-context': 'cpu-affinity node-affinity',
  'tls-cipher-suites': 'verify-peer dir endpoint priority',
  'x-remote-object': 'fd devid',
  'x-vfio-user-server': 'socket device',
};

const namedTypes: Readonly<Record<string, StructType>> = Object.fromEntries(
  Object.entries(refusedTypes).map(([type, { name }]) => {
    const names = optionNames[type]?.split(' ') ?? [];
    return [type, struct(name, Object.fromEntries(names.map((option) => [option, optional(any)])))];
  }),
);

export const knownObjectOptions = objectOptionsOf(hostObjectTypes, namedTypes);

/** `commands`, with an object-add that knows the options of all types. */
export function withObjectOptions(commands: readonly AnyCommand[]): readonly AnyCommand[] {
  return commands.map((command) =>
    command.name === 'object-add' ? { ...command, args: knownObjectOptions } : command,
  );
}
