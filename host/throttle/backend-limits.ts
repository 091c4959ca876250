/**
 * Limits on a device's backend, as `-drive` and block_set_io_throttle set them and query-block shows them
 * (specification: throttling, section 5).
 */
import type { BlockBackend } from '../block/backend.ts';
import type { BlockGraph } from '../block/graph.ts';
import { isEnabled, type ThrottleConfig, unlimited } from './config.ts';
import { ThrottleMember } from './group.ts';
import { throttleGroupsOf } from './groups.ts';
import { shortLimitsOf } from './limit-names.ts';

interface GroupChoice {
  /** The group to be in. Undefined: the one it is in, or `fallback`. */
  group: string | undefined;
  fallback: string;
}

/**
 * Puts `backend` under limits, which then hold for its whole group; without any it leaves its group. Requests that wait
 * go ahead when the group changes. `config` has been validated.
 */
export async function setBackendLimits(
  graph: BlockGraph,
  backend: BlockBackend,
  config: ThrottleConfig,
  { group, fallback }: GroupChoice,
): Promise<void> {
  if (!isEnabled(config)) return changeGroup(graph, backend, undefined);
  const current = memberOf(backend);
  if (!current) await changeGroup(graph, backend, group ?? fallback);
  else if (group !== undefined && group !== current.group.name) await changeGroup(graph, backend, group);
  memberOf(backend)?.group.configure(config);
}

/** Members of BlockDeviceInfo about limits; `group` only where there are any. */
export function throttleInfo(backend: BlockBackend | undefined): Record<string, unknown> {
  const member = backend && memberOf(backend);
  if (!member) return shortLimitsOf(unlimited);
  return { ...shortLimitsOf(member.group.config), group: member.group.name };
}

async function changeGroup(
  graph: BlockGraph,
  backend: BlockBackend,
  name: string | undefined,
): Promise<void> {
  const former = memberOf(backend);
  if (former) {
    const node = backend.hasMedium ? backend.node : undefined;
    await node?.drainBegin();
    backend.throttle = undefined;
    former.leave();
    node?.drainEnd();
  }
  if (name !== undefined) backend.throttle = throttleGroupsOf(graph).join(name);
}

function memberOf({ throttle }: BlockBackend): ThrottleMember | undefined {
  return throttle instanceof ThrottleMember ? throttle : undefined;
}
