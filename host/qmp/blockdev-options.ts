/**
 * The QAPI union BlockdevOptions, made from the registry of drivers: what `blockdev-add` and `--blockdev` accept
 * (specification: graph, section 2).
 */
import type { ChildSpec, DriverDefinition } from '../block/driver.ts';
import type { DriverRegistry } from '../block/registry.ts';
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

export type BlockdevOptions = { driver: string; 'node-name'?: string | undefined } & Record<string, unknown>;

const made = new WeakMap<DriverRegistry, UnionType<BlockdevOptions>>();

export function blockdevOptions(drivers: DriverRegistry): UnionType<BlockdevOptions> {
  const known = made.get(drivers);
  if (known) return known;
  const union: UnionType<BlockdevOptions> = {
    kind: 'union',
    name: 'BlockdevOptions',
    base: commonOptions(drivers.definitions.map((definition) => definition.name)),
    discriminator: 'driver',
    branches: () => branches,
  };
  const reference: AlternateType = { kind: 'alternate', name: 'BlockdevRef', branches: () => [union, str] };
  const orNull: AlternateType = {
    kind: 'alternate',
    name: 'BlockdevRefOrNull',
    branches: () => [union, str, nil],
  };
  const branches = Object.fromEntries(
    drivers.definitions.map((definition) => [definition.name, branchOf(definition, reference, orNull)]),
  );
  made.set(drivers, union);
  return union;
}

function commonOptions(names: readonly string[]): StructType {
  return struct('BlockdevOptionsBase', {
    driver: enumeration('BlockdevDriver', names),
    'node-name': optional(str),
    discard: optional(enumeration('BlockdevDiscardOptions', ['ignore', 'unmap'])),
    cache: optional(struct('BlockdevCacheOptions', { direct: optional(bool), 'no-flush': optional(bool) })),
    'read-only': optional(bool),
    'auto-read-only': optional(bool),
    'force-share': optional(bool),
    'detect-zeroes': optional(enumeration('BlockdevDetectZeroesOptions', ['off', 'on', 'unmap'])),
  }) as StructType;
}

/** The children first, as in QEMU's schema. */
function branchOf(definition: DriverDefinition, reference: Type, orNull: Type): StructType {
  const children = (definition.children ?? []).map((child) => childMember(child, reference, orNull));
  return {
    kind: 'struct',
    name: definition.options.name,
    members: [...children, ...definition.options.members],
  };
}

function childMember(child: ChildSpec, reference: Type, orNull: Type): Member {
  const one = child.nullable ? orNull : reference;
  return { name: child.name, type: child.list ? array(one) : one, optional: child.optional ?? false };
}
