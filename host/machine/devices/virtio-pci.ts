/** Properties that PCI and virtio devices have beside their own. None of them changes what a disk does. */
import { invalid } from '../../base/errors.ts';
import { int32 } from '../../qapi/types.ts';
import {
  bytes,
  flag,
  number32,
  onOrOff,
  type PropertySpec,
  signed32,
  text,
  unsetUint32,
} from '../property.ts';

const slots = 32;
const functions = 8;

function addressProperty(owner: () => string): PropertySpec {
  return {
    name: 'addr',
    type: int32,
    typeName: 'str',
    initial: -1,
    // Slot and function in hexadecimal: `06.0`.
    read(value) {
      if (typeof value === 'number' && Number.isInteger(value)) return value;
      const match = /^([0-9a-f]{1,2})(?:\.([0-9a-f]))?$/i.exec(String(value));
      const slot = Number.parseInt(match?.[1] ?? '', 16);
      const unit = Number.parseInt(match?.[2] ?? '0', 16);
      if (match && slot < slots && unit < functions) return slot * functions + unit;
      throw invalid(`Property '${owner()}.addr' doesn't take value '${value}'`);
    },
  };
}

export function pciPropertiesOf(typeName: string): readonly PropertySpec[] {
  return [
    addressProperty(() => typeName),
    text('romfile'),
    number32('romsize', unsetUint32),
    signed32('rombar', -1),
    flag('multifunction'),
    flag('x-pcie-lnksta-dllla', true),
    flag('x-pcie-extcap-init', true),
    text('failover_pair_id'),
    number32('acpi-index'),
    flag('x-pcie-err-unc-mask', true),
    flag('x-pcie-ari-nextfn-1'),
    bytes('x-max-bounce-buffer-size', 4096),
    flag('x-pcie-ext-tag', true),
  ];
}

export const virtioPciProperties: readonly PropertySpec[] = [
  flag('virtio-pci-bus-master-bug-migration'),
  flag('migrate-extra', true),
  flag('modern-pio-notify'),
  flag('x-disable-pcie'),
  flag('page-per-vq'),
  flag('x-ignore-backend-features'),
  flag('ats'),
  flag('x-ats-page-aligned', true),
  flag('x-pcie-deverr-init', true),
  flag('x-pcie-lnkctl-init', true),
  flag('x-pcie-pm-init', true),
  flag('x-pcie-pm-no-soft-reset'),
  flag('x-pcie-flr-init', true),
  flag('aer'),
  onOrOff('disable-legacy'),
  flag('disable-modern'),
  flag('ioeventfd', true),
  number32('vectors', unsetUint32),
];

export const virtioProperties: readonly PropertySpec[] = [
  flag('indirect_desc', true),
  flag('event_idx', true),
  flag('notify_on_empty', true),
  flag('any_layout', true),
  flag('iommu_platform'),
  flag('packed'),
  flag('in_order'),
  flag('queue_reset', true),
  flag('use-started', true),
  flag('use-disabled-flag', true),
  flag('x-disable-legacy-check'),
];
