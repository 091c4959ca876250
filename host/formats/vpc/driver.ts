/**
 * vpc: VHD images, the disks of Virtual PC, Hyper-V and Azure, fixed and dynamic (specification: vpc).
 *
 * Differencing images are refused. What reads and writes images is loaded with the first that is opened or made.
 */
import { invalid } from '../../base/errors.ts';
import type { CreateJobDefinition, CreateValues, DriverDefinition } from '../../block/driver.ts';
import { loadPart } from '../../platform/platform.ts';
import { bool, enumeration, optional, size, struct, type TypeOf } from '../../qapi/types.ts';
import { checkExactSize, chooseSize, type DiskSize } from './geometry.ts';
import { options, type VpcOptions } from './options.ts';

const subformats = ['dynamic', 'fixed'] as const;

const createJobOptions = struct('BlockdevCreateOptionsVpc', {
  size,
  subformat: optional(enumeration('BlockdevVpcSubformat', subformats)),
  'force-size': optional(bool),
});

const job: CreateJobDefinition<TypeOf<typeof createJobOptions>> = {
  options: createJobOptions,
  children: [{ name: 'file' }],
  values({ size, subformat, 'force-size': exact = false }) {
    checkExactSize(size, exact);
    return { size, subformat, force_size: exact };
  },
};

/** Creation options, checked. */
interface Wanted {
  readonly isFixed: boolean;
  readonly isExact: boolean;
  readonly size: DiskSize;
}

/** Errors: EINVAL, EFBIG, for what cannot be made. */
function readValues({ size, subformat = 'dynamic', force_size: exact }: CreateValues): Wanted {
  if (!subformats.some((name) => name === subformat))
    throw invalid(`Parameter 'subformat' does not accept value '${subformat}'`);
  const isExact = exact === true;
  return { isFixed: subformat === 'fixed', isExact, size: chooseSize(Number(size), isExact) };
}

export const vpc: DriverDefinition<VpcOptions> = {
  name: 'vpc',
  kind: 'format',
  children: [{ name: 'file' }],
  options,
  strongOptions: ['force_size_calc'],
  // Names and option strings may have it, commands nothing like it.
  oldOptions: { force_size_calc: '' },
  // An image of fixed size begins with its disk: nothing tells it from a raw one.
  probe: (head) => (String.fromCharCode(...head.subarray(0, 8)) === 'conectix' ? 100 : 0),
  async open(context, given) {
    const { openVpc } = await loadPart(context.platform, () => import('./image.ts'));
    return openVpc(context, given);
  },
  create: {
    options: [
      { name: 'size', type: 'size', help: 'Virtual disk size' },
      {
        name: 'subformat',
        type: 'string',
        help: 'Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ',
      },
      {
        name: 'force_size',
        type: 'bool',
        help: 'Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based calculation',
      },
    ],
    job,
    checkValues: (values) => void readValues(values),
    async createImage(file, values) {
      const wanted = readValues(values);
      const { createVpc } = await loadPart(file.node.graph.platform, () => import('./image.ts'));
      await createVpc(file, wanted);
    },
  },
};
