/** The types of user objects that there are, one line each, and ObjectOptions: what object-add and `--object` take. */
import { enumeration, str, struct, type UnionType } from '../qapi/types.ts';
import { iothread, mainLoop } from './event-loops.ts';
import type { AnyObjectType } from './object-type.ts';
import { refusedTypes } from './refused-types.ts';
import { throttleGroup } from './throttle-group.ts';

export const objectTypes: readonly AnyObjectType[] = [throttleGroup, iothread, mainLoop];

export interface ObjectOptions {
  'qom-type': string;
  id: string;
  [option: string]: unknown;
}

const branches = {
  ...refusedTypes,
  ...Object.fromEntries(objectTypes.map(({ name, options }) => [name, options])),
};

export const objectOptionsType: UnionType<ObjectOptions> = {
  kind: 'union',
  name: 'ObjectOptions',
  base: struct('ObjectOptionsBase', {
    'qom-type': enumeration('ObjectType', Object.keys(branches)),
    id: str,
  }),
  discriminator: 'qom-type',
  branches: () => branches,
};
