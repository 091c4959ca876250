/**
 * The `throttle` filter: requests pass when the throttle group it is in has room (specification: graph, section 3;
 * throttling, section 4).
 *
 * Reads count as reads, everything that changes data as writes, with their length; flushes are free. In a drained
 * section nothing waits. The group can be changed by reopening.
 */
import type { Driver, DriverDefinition, ReopenChange, ReopenStep } from '../block/driver.ts';
import type { Edge } from '../block/edge.ts';
import type { BlockNode } from '../block/node.ts';
import type { OpenContext } from '../block/open-context.ts';
import { str, struct, type TypeOf, worded } from '../qapi/types.ts';
import type { ThrottleGroup, ThrottleMember } from '../throttle/group.ts';
import { type ThrottleGroups, throttleGroupsOf } from '../throttle/groups.ts';

const optionsType = struct('BlockdevOptionsThrottle', {
  'throttle-group': worded(str, { missing: 'Please specify a throttle group' }),
});

type Options = TypeOf<typeof optionsType>;

class Throttle implements Driver {
  /** Flags travel on with the request. */
  readonly supportsFua = true;
  private member: ThrottleMember;

  constructor(
    private readonly file: Edge,
    private readonly groups: ThrottleGroups,
    group: ThrottleGroup,
  ) {
    this.member = this.join(group);
  }

  private join(group: ThrottleGroup): ThrottleMember {
    const member = group.join();
    // In the middle of a drained section there was no call for its beginning.
    if ((this.file.parent as BlockNode).isDrained) member.drainBegin();
    return member;
  }

  getLength(): Promise<number> {
    return this.file.getByteLength();
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    await this.member.admit('read', buffer.length);
    await this.file.read(offset, buffer);
  }

  /** Called by the dispatcher before any request that changes data. */
  beforeWrite(_offset: number, bytes: number): Promise<void> {
    return this.member.admit('write', bytes);
  }

  writeCompressed(offset: number, buffer: Uint8Array): Promise<void> {
    return this.file.writeCompressed(offset, buffer);
  }

  drainChanged(isDrained: boolean): void {
    if (isDrained) this.member.drainBegin();
    else this.member.drainEnd();
  }

  async reopen({ options }: ReopenChange<Options>): Promise<ReopenStep> {
    const group = this.groups.get(options['throttle-group']);
    return { commit: async () => this.setGroup(group) };
  }

  /** Goes over to another group. What waits in the old one goes ahead. */
  setGroup(group: ThrottleGroup): void {
    const former = this.member;
    if (group === former.group) return;
    this.member = this.join(group);
    former.drainBegin();
    former.leave();
  }

  async close(): Promise<void> {
    this.member.leave();
  }
}

export const throttle: DriverDefinition<Options> = {
  name: 'throttle',
  kind: 'filter',
  options: optionsType,
  children: [{ name: 'file' }],
  strongOptions: ['throttle-group'],
  reopenableOptions: ['throttle-group'],
  async open(context: OpenContext, options: Options): Promise<Driver> {
    const file = await context.openChild('file', 'filtered');
    const groups = throttleGroupsOf((file.parent as BlockNode).graph);
    return new Throttle(file, groups, groups.get(options['throttle-group']));
  },
};
