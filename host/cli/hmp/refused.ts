/**
 * Commands of QEMU's human monitor that are about what is not here: known by name, and refused with the reason, whatever their
 * arguments.
 */

const reasons: readonly { readonly reason: string; readonly names: string }[] = [
  {
    reason: 'machines do not migrate',
    names:
      'announce_self calc_dirty_rate cancel_vcpu_dirty_limit client_migrate_info migrate migrate_cancel migrate_continue ' +
      'migrate_incoming migrate_pause migrate_recover migrate_set_capability migrate_set_parameter migrate_start_postcopy ' +
      'set_vcpu_dirty_limit x_colo_lost_heartbeat',
  },
  {
    reason: 'a monitor does not reach processors and memory',
    names:
      'balloon cpu dump-guest-memory dumpdtb gdbserver gpa2hpa gpa2hva gva2gpa i log logfile mce memsave nmi o one-insn-per-tb ' +
      'pcie_aer_inject_error pmemsave p print replay_break replay_delete_break replay_seek sum sync-profile x xp',
  },
  {
    reason: 'machines have devices for storage alone',
    names:
      'boot_set expire_password hostfwd_add hostfwd_remove mouse_button mouse_move mouse_set netdev_add netdev_del screendump ' +
      'sendkey set_link set_password stopcapture system_wakeup watchdog_action wavcapture xen-event-inject ' +
      'xen-event-list',
  },
  {
    reason: 'character devices are chosen on the command line',
    names:
      'chardev-add chardev-change chardev-remove chardev-send-break closefd exit_preconfig getfd ringbuf_read ringbuf_write',
  },
];

const refusedInfos =
  'balloon capture chardev cpus cryptodev dirty_rate dump hotpluggable-cpus irq jit kvm lapic mem memdev memory-devices ' +
  'memory_size_summary mice migrate migrate_capabilities migrate_parameters mtree network numa opcount pci pic qdm ramblock ' +
  'registers replay rocker rocker-of-dpa-flows rocker-of-dpa-groups rocker-ports roms sev sgx spice stats sync-profile tlb ' +
  'tpm usb usbhost usernet vcpu_dirty_limit virtio virtio-queue-element virtio-queue-status virtio-status ' +
  'virtio-vhost-queue-status vm-generation-id vnc';

const refused = new Map([
  ...reasons.flatMap(({ reason, names }) => names.split(' ').map((name) => [name, reason] as const)),
  ...refusedInfos.split(' ').map((name) => [`info ${name}`, 'it is not about storage'] as const),
]);

/** Why there is no such command; undefined: QEMU has none either, or it is here. */
export function refusal(name: string): string | undefined {
  const reason = refused.get(name);
  return reason === undefined ? undefined : `${name} is not supported: ${reason}`;
}
