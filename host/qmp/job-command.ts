/**
 * Commands that ask one thing of one job, a file each in commands/. `job-…` asks any job, by its id; `block-job-…` asks
 * block jobs alone, and calls the id `device` except where the command is younger than ids that are no device's name.
 */
import type { Job } from '../jobs/job.ts';
import type { JobRegistry } from '../jobs/job-registry.ts';
import { type StructType, str } from '../qapi/types.ts';
import { type CommandDefinition, defineCommand } from './command.ts';

type Ask = (job: Job) => Promise<void> | void;

/** Errors: `Job not found`, and those of `ask`. */
export function defineJobCommand(name: string, ask: Ask): CommandDefinition<{ id: string }, object> {
  return define(name, 'id', (jobs, id) => ask(jobs.get(id)));
}

/** Errors: DeviceNotActive, and those of `ask`. */
export function defineBlockJobCommand<Key extends 'device' | 'id'>(
  name: string,
  key: Key,
  ask: Ask,
): CommandDefinition<Record<Key, string>, object> {
  return define(name, key, (jobs, id) => ask(jobs.getBlockJob(id)));
}

function define<Key extends string>(
  name: string,
  key: Key,
  ask: (jobs: JobRegistry, id: string) => Promise<void> | void,
): CommandDefinition<Record<Key, string>, object> {
  const words = name.split('-').map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  const args: StructType<Record<Key, string>> = {
    kind: 'struct',
    name: `${words.join('')}Arguments`,
    members: [{ name: key, type: str, optional: false }],
  };
  return defineCommand({
    name,
    args,
    async run({ jobs }, given) {
      const asked = ask(jobs, given[key]);
      // What is done at once is answered at once.
      if (asked !== undefined) await asked;
      return {};
    },
  });
}
