/**
 * Options of new images: their declaration, and what they come to (specification: vmdk, section 5). Small, for it is loaded with the
 * registry; create.ts makes the images.
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { sectorBytes, wholeSectors } from '../../../base/sectors.ts';
import type { CreateJobDefinition, CreateOption, CreateValues } from '../../../block/driver.ts';
import { bool, enumeration, optional, size, str, struct, type TypeOf } from '../../../qapi/types.ts';

const subformats = [
  'monolithicSparse',
  'monolithicFlat',
  'twoGbMaxExtentSparse',
  'twoGbMaxExtentFlat',
  'streamOptimized',
] as const;
const adapters = ['ide', 'buslogic', 'lsilogic', 'legacyESX'] as const;

/** Of images, and of all that they can be made on. */
export const formatName = 'vmdk';

/** Version of the virtual hardware, as the option says that it was not given. */
const unsaid = 'undefined';

export const createOptions: readonly CreateOption[] = [
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  {
    name: 'adapter_type',
    type: 'string',
    help: 'Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX',
  },
  { name: 'backing_file', type: 'string', help: 'File name of a base image' },
  { name: 'backing_fmt', type: 'string', help: "Must be 'vmdk' if present" },
  { name: 'compat6', type: 'bool', help: 'VMDK version 6 image', default: 'off' },
  { name: 'hwversion', type: 'string', help: 'VMDK hardware version', default: unsaid },
  { name: 'toolsversion', type: 'string', help: 'VMware guest tools version' },
  {
    name: 'subformat',
    type: 'string',
    help:
      'VMDK flat extent format, can be one of ' +
      '{monolithicSparse (default) | monolithicFlat | twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ',
  },
  {
    name: 'zeroed_grain',
    type: 'bool',
    help: 'Enable efficient zero writes using the zeroed-grain GTE feature',
  },
];

/** A creation request, checked. */
export interface CreateParameters {
  /** A multiple of 512. */
  readonly bytes: number;
  readonly subformat: (typeof subformats)[number];
  readonly isFlat: boolean;
  readonly isSplit: boolean;
  readonly adapterType: string;
  readonly hardwareVersion: string;
  readonly toolsVersion: string;
  readonly hasZeroedGrains: boolean;
  readonly backingFile: string | undefined;
  /** Of flat extents. */
  readonly preallocation: string;
}

/** Errors: EINVAL in QEMU's words; ENOTSUP for what is not done here. */
export function parseCreateValues(values: CreateValues): CreateParameters {
  const text = (name: string): string | undefined => nonEmpty(values[name]);
  const adapterType = oneOf(adapters, text('adapter_type') ?? 'ide');
  const subformat = oneOf(subformats, text('subformat') ?? 'monolithicSparse');
  const hardwareVersion = text('hwversion') ?? unsaid;
  const isCompat6 = values['compat6'] === true;
  if (isCompat6 && hardwareVersion !== unsaid) throw invalid('compat6 cannot be enabled with hwversion set');
  const backingFile = text('backing_file');
  if ((text('backing_fmt') ?? formatName) !== formatName) throw invalid('backing_file must be a vmdk image');
  const isFlat = subformat === 'monolithicFlat' || subformat === 'twoGbMaxExtentFlat';
  const hasZeroedGrains = values['zeroed_grain'] === true;
  if (isFlat && backingFile !== undefined) throw invalid("Flat image can't have backing file");
  if (isFlat && hasZeroedGrains) throw invalid("Flat image can't enable zeroed grain");
  const parameters = {
    bytes: wholeSectors(Number(values['size'] ?? 0)),
    ...{ subformat, isFlat, isSplit: subformat.startsWith('twoGb') },
    ...{ adapterType, hasZeroedGrains, backingFile },
    hardwareVersion: hardwareVersion === unsaid ? (isCompat6 ? '6' : '4') : hardwareVersion,
    toolsVersion: text('toolsversion') ?? '2147483647',
    preallocation: checkPreallocation(text('preallocation') ?? 'off', isFlat),
  };
  for (const name of ['backing_file', 'hwversion', 'toolsversion']) refuseQuotes(name, text(name));
  return parameters;
}

function nonEmpty(value: CreateValues[string]): string | undefined {
  return value === undefined || value === '' ? undefined : String(value);
}

function oneOf<T extends string>(choices: readonly T[], value: string): T {
  const choice = choices.find((name) => name === value);
  if (choice === undefined) throw invalid(`invalid parameter value: ${value}`);
  return choice;
}

function checkPreallocation(mode: string, isFlat: boolean): string {
  if (!['off', 'falloc', 'full'].includes(mode)) throw invalid(`Unsupported preallocation mode: ${mode}`);
  if (mode !== 'off' && !isFlat)
    throw new BlockError('ENOTSUP', `Parameter 'preallocation' is not supported for sparse images`);
  return mode;
}

/** The descriptor has no way to write them. */
function refuseQuotes(name: string, value: string | undefined): void {
  if (value !== undefined && /["\r\n\0]/.test(value))
    throw invalid(`Parameter '${name}' cannot have quotes or line breaks in it`);
}

const jobOptions = struct('BlockdevCreateOptionsVmdk', {
  size,
  subformat: optional(enumeration('BlockdevVmdkSubformat', subformats)),
  'backing-file': optional(str),
  'adapter-type': optional(enumeration('BlockdevVmdkAdapterType', adapters)),
  hwversion: optional(str),
  toolsversion: optional(str),
  'zeroed-grain': optional(bool),
});

/** What blockdev-create takes. */
export const createJob: CreateJobDefinition<TypeOf<typeof jobOptions>> = {
  options: jobOptions,
  children: [{ name: 'file' }, { name: 'extents', optional: true, list: true }],
  values(options) {
    if (options.size % sectorBytes !== 0 || options.size >= 2 ** 64)
      throw invalid('Image size must be a multiple of 512 bytes');
    return {
      size: options.size,
      subformat: options.subformat,
      backing_file: options['backing-file'],
      adapter_type: options['adapter-type'],
      hwversion: options.hwversion,
      toolsversion: options.toolsversion,
      zeroed_grain: options['zeroed-grain'],
    };
  },
};
