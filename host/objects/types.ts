/**
 * The types of user objects that there are everywhere, one line each, and ObjectOptions: what object-add and `--object` take.
 * Programs of a host have more (host-types.ts).
 */
import { enumeration, type StructType, str, struct, type UnionType } from '../qapi/types.ts';
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

/** Of these types, and of those that are refused: by the options that are known of them. */
export function objectOptionsOf(
  types: readonly AnyObjectType[],
  refused: Readonly<Record<string, StructType>>,
): UnionType<ObjectOptions> {
  const branches = { ...refused, ...Object.fromEntries(types.map(({ name, options }) => [name, options])) };
  return {
    kind: 'union',
    name: 'ObjectOptions',
    base: struct('ObjectOptionsBase', {
      'qom-type': enumeration('ObjectType', Object.keys(branches)),
      id: str,
    }),
    discriminator: 'qom-type',
    branches: () => branches,
  };
}

export const objectOptionsType = objectOptionsOf(objectTypes, refusedTypes);
