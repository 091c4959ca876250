/**
 * BlockdevOptions: what blockdev-add, blockdev-reopen and `--blockdev` take, put together from the drivers there are
 * (specification: graph, section 2).
 *
 * Members that every node has, `driver` among them, and by driver its own options and children. A child is an inline
 * BlockdevOptions or the name of a node; `backing` may also be null, for none.
 */
import type { ChildSpec, DriverDefinition } from '../block/driver.ts';
import { cacheOptions } from '../block/options.ts';
import {
  type AlternateType,
  array,
  bool,
  enumeration,
  type Member,
  nil,
  optional,
  type StructType,
  str,
  struct,
  type Type,
  type UnionType,
} from '../qapi/types.ts';

export interface BlockdevOptions {
  driver: string;
  'node-name'?: string;
  [option: string]: unknown;
}

export function blockdevOptionsType(drivers: readonly DriverDefinition[]): UnionType<BlockdevOptions> {
  return describe(drivers).options;
}

/** How a child is declared: by it, commands take nodes as blockdev-add does. */
export function childMembers(drivers: readonly DriverDefinition[]): (spec: ChildSpec) => Member {
  return describe(drivers).child;
}

function describe(drivers: readonly DriverDefinition[]): {
  options: UnionType<BlockdevOptions>;
  child(spec: ChildSpec): Member;
} {
  const options: UnionType<BlockdevOptions> = {
    kind: 'union',
    name: 'BlockdevOptions',
    base: struct('BlockdevOptionsBase', {
      driver: enumeration(
        'BlockdevDriver',
        drivers.map(({ name }) => name),
      ),
      'node-name': optional(str),
      discard: optional(enumeration('BlockdevDiscardOptions', ['ignore', 'unmap'])),
      cache: optional(cacheOptions),
      'read-only': optional(bool),
      'auto-read-only': optional(bool),
      active: optional(bool),
      'force-share': optional(bool),
      'detect-zeroes': optional(enumeration('BlockdevDetectZeroesOptions', ['off', 'on', 'unmap'])),
    }),
    discriminator: 'driver',
    branches: () => branches,
  };
  const reference = alternate('BlockdevRef', [options, str]);
  const nullableReference = alternate('BlockdevRefOrNull', [options, str, nil]);
  const child = ({ name, optional, nullable, list }: ChildSpec): Member => {
    const type = nullable ? nullableReference : reference;
    return { name, type: list ? array(type) : type, optional: optional ?? false };
  };
  const branches = Object.fromEntries(drivers.map((driver) => [driver.name, branch(driver, child)]));
  return { options, child };
}

/** The members of one driver: `children` and `options`. */
export function branch(
  { options, children = [], oldOptions = {} }: Pick<DriverDefinition, 'options' | 'children' | 'oldOptions'>,
  child: (spec: ChildSpec) => Member,
): StructType {
  // QEMU's declarations inherit `file` and `backing` from a common base, so they are checked first.
  const inherited = children.filter(({ name }) => name === 'file' || name === 'backing');
  const own = children.filter((spec) => !inherited.includes(spec));
  const isWanted = ({ name }: Member): boolean => Object.values(oldOptions).includes(name);
  return {
    kind: 'struct',
    name: options.name,
    members: [
      ...inherited.map(child),
      ...own.map(child),
      ...options.members
        .filter(({ name }) => !(name in oldOptions))
        .map((member) => (isWanted(member) ? { ...member, optional: false } : member)),
    ],
  };
}

function alternate(name: string, types: readonly Type[]): AlternateType {
  return { kind: 'alternate', name, branches: () => types };
}
