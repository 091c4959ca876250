/**
 * `throttle-group`: limits that disks share by naming the object (specification: throttling, sections 1, 2 and 4).
 *
 * The limits are one property, `limits`; each is also one of its own, `x-…`, which can be set only on creation. Where
 * both are given, `limits` goes last.
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../qapi/json-value.ts';
import { checkStrict } from '../qapi/strict.ts';
import { optional, struct, type TypeOf } from '../qapi/types.ts';
import { type ThrottleConfig, unlimited, validate } from '../throttle/config.ts';
import type { ThrottleGroup } from '../throttle/group.ts';
import { type ThrottleGroups, throttleGroupsOf } from '../throttle/groups.ts';
import {
  limitNames,
  limitsOf,
  mergeLimits,
  optionalInts,
  throttleLimitsType,
} from '../throttle/limit-names.ts';
import type { ObjectType, UserObject } from './object-type.ts';
import type { QomProperty } from './qom.ts';

const limitsOnly = struct('ThrottleGroupLimits', { limits: throttleLimitsType });
const optionsType = struct('ThrottleGroupProperties', {
  limits: optional(throttleLimitsType),
  ...optionalInts(limitNames.map((name) => `x-${name}`)),
});

type Limits = TypeOf<typeof throttleLimitsType>;
type Options = { limits?: Limits } & Record<`x-${string}`, number | undefined>;

const longestBurst = 0xffff_ffff;

class ThrottleGroupObject implements UserObject {
  readonly typeName = 'throttle-group';
  readonly properties: readonly QomProperty[];

  constructor(
    private readonly groups: ThrottleGroups,
    private readonly group: ThrottleGroup,
  ) {
    this.properties = [
      {
        name: 'limits',
        type: 'ThrottleLimits',
        get: () => limitsOf(group.config),
        set: (value) => this.setLimits(value),
      },
      ...limitNames.map((name) => ({
        name: `x-${name}`,
        type: 'int',
        get: () => limitsOf(group.config)[name],
        set: () => {
          throw invalid('Property cannot be set after initialization');
        },
      })),
    ];
  }

  get isInUse(): boolean {
    return this.group.isUsed;
  }

  deleted(): void {
    this.groups.remove(this.group);
  }

  /** Only what is given changes. */
  private setLimits(value: JsonValue): void {
    const { limits } = checkStrict(limitsOnly, { limits: value });
    const config = mergeLimits(this.group.config, limits);
    validate(config);
    this.group.configure(config);
  }
}

export const throttleGroup: ObjectType<Options> = {
  name: 'throttle-group',
  options: optionsType as ObjectType<Options>['options'],
  create({ graph }, id, options) {
    let config = withProperties(unlimited, options);
    if (options.limits) config = mergeLimits(config, options.limits);
    validate(config);
    const groups = throttleGroupsOf(graph);
    return new ThrottleGroupObject(groups, groups.add(id, config));
  },
};

function withProperties(config: ThrottleConfig, options: Options): ThrottleConfig {
  const limits: Record<string, number> = {};
  for (const name of limitNames) {
    const value = options[`x-${name}`];
    if (value === undefined) continue;
    if (value < 0) throw invalid('Property values cannot be negative');
    if (name.endsWith('-length') && value > longestBurst) {
      // No blank: QEMU's words.
      throw invalid(`x-${name} value must be in therange [0, ${longestBurst}]`);
    }
    limits[name] = value;
  }
  return mergeLimits(config, limits);
}
