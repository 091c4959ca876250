/**
 * luks: a disk that lies encrypted in its file, behind a header with the keys (specification: luks).
 *
 * What reads and writes volumes is loaded when the first is opened: not everybody has one. Detached headers are refused.
 */
import { BlockError } from '../../base/errors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type {
  CreateDefinition,
  CreateJobDefinition,
  CreateValues,
  DriverDefinition,
} from '../../block/driver.ts';
import { hasLuksMagic } from '../../crypto/luks/magic.ts';
import {
  luksAmendOptions,
  luksAmendType,
  luksCreateOptions,
  luksCreateType,
} from '../../crypto/luks/options.ts';
import { loadPart } from '../../platform/platform.ts';
import { preallocationMode } from '../../qapi/block-types.ts';
import { bool, extend, optional, size, str, struct, type TypeOf } from '../../qapi/types.ts';

const luksOptions = struct('BlockdevOptionsLUKS', { 'key-secret': optional(str) });
export type LuksOptions = TypeOf<typeof luksOptions>;

const createJobOptions = extend(
  'BlockdevCreateOptionsLUKS',
  luksCreateType,
  struct('', { size, preallocation: optional(preallocationMode), 'detached-header': optional(bool) }),
);

const createJob: CreateJobDefinition<TypeOf<typeof createJobOptions>> = {
  options: createJobOptions,
  children: [{ name: 'file' }],
  values: (options) => ({ ...options }) as CreateValues,
};

const create: CreateDefinition = {
  options: [
    { name: 'size', type: 'size', help: 'Virtual disk size' },
    ...luksCreateOptions('', 'ID of the secret that provides the keyslot passphrase'),
    { name: 'detached-header', type: 'bool', help: 'Create a detached LUKS header' },
  ],
  job: createJob,
  async checkValues(values, graph) {
    const { planVolume } = await loadPart(graph.platform, () => import('./image.ts'));
    planVolume(graph, values);
  },
  async createImage(file: BlockBackend, values) {
    const { graph } = file.node;
    const { createVolume } = await loadPart(graph.platform, () => import('./image.ts'));
    await createVolume(graph, file, values);
  },
};

export const luks: DriverDefinition<LuksOptions> = {
  name: 'luks',
  kind: 'format',
  children: [{ name: 'file' }],
  options: luksOptions,
  strongOptions: ['key-secret'],
  probe: (head) => (hasLuksMagic(head) ? 100 : 0),
  async open(context, options) {
    const file = await context.openChild('file', 'file');
    const { openLuks } = await loadPart(context.platform, () => import('./image.ts'));
    return openLuks(context, file, options);
  },
  create,
  amend: {
    options: luksAmendType,
    imageOptions: () => luksAmendOptions(''),
    async change(node, options, how) {
      const { amendLuks } = await loadPart(node.graph.platform, () => import('./image.ts'));
      if (node.readOnly) throw new BlockError('EACCES', 'Image is read-only');
      await amendLuks(node, { ...options } as CreateValues, how);
    },
    async plan(image, values, how) {
      const node = image.node.skipFilters();
      const { amendLuks, checkAmend } = await loadPart(node.graph.platform, () => import('./image.ts'));
      checkAmend(values);
      return { dropsBitmaps: false, apply: () => amendLuks(node, values, how) };
    },
  },
};
