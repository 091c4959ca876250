/**
 * The throttle groups of a graph, by name (specification: throttling, section 4).
 *
 * Two kinds share one name space: those that a user made as objects, which stay until they are removed, and those that
 * came into being with the first disk that named them, and go with the last.
 */
import { assert } from '../base/assert.ts';
import { AttachmentKey } from '../base/attachments.ts';
import { invalid } from '../base/errors.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { Clock } from '../platform/platform.ts';
import { type ThrottleConfig, unlimited } from './config.ts';
import { ThrottleGroup, type ThrottleMember } from './group.ts';

const groupsKey = new AttachmentKey((graph: BlockGraph) => new ThrottleGroups(graph.platform.clock));

/** The groups of `graph`. */
export function throttleGroupsOf(graph: BlockGraph): ThrottleGroups {
  return graph.attachments.get(groupsKey);
}

export class ThrottleGroups {
  private readonly byName = new Map<string, ThrottleGroup>();

  constructor(private readonly clock: Clock) {}

  find(name: string): ThrottleGroup | undefined {
    return this.byName.get(name);
  }

  /** Throws `Throttle group 'x' does not exist`. */
  get(name: string): ThrottleGroup {
    const group = this.byName.get(name);
    if (!group) throw invalid(`Throttle group '${name}' does not exist`);
    return group;
  }

  /** Makes one that stays. `config` has been validated. Errors: the name is taken. */
  add(name: string, config: ThrottleConfig): ThrottleGroup {
    if (this.byName.has(name)) throw invalid('A group with this name already exists');
    return this.register(new ThrottleGroup(name, this.clock, config));
  }

  /** Removes one that `add` made and nobody uses. */
  remove(group: ThrottleGroup): void {
    assert(!group.isUsed, `throttle group ${group.name} is in use`);
    this.byName.delete(group.name);
  }

  /** Joins the group of that name, which is made when there is none. */
  join(name: string): ThrottleMember {
    const forget = (): void => void this.byName.delete(name);
    const group =
      this.byName.get(name) ?? this.register(new ThrottleGroup(name, this.clock, unlimited, forget));
    return group.join();
  }

  private register(group: ThrottleGroup): ThrottleGroup {
    this.byName.set(group.name, group);
    return group;
  }
}
