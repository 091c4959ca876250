/** block-job-change: changes a job while it runs; of a mirror, whether guests' writes wait for the target. */
import { mirrorCopyMode } from '../../jobs/mirror/mirror-options.ts';
import { str, struct, type TypeOf, type UnionType } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { jobType } from '../job-types.ts';

const base = struct('BlockJobChangeOptionsBase', { id: str, type: jobType });
const mirrorChange = struct('BlockJobChangeOptionsMirror', { 'copy-mode': mirrorCopyMode });

const changeOptions: UnionType<TypeOf<typeof base> & Partial<TypeOf<typeof mirrorChange>>> = {
  kind: 'union',
  name: 'BlockJobChangeOptions',
  base,
  discriminator: 'type',
  branches: () => ({ mirror: mirrorChange }),
};

export const blockJobChange = defineCommand({
  name: 'block-job-change',
  args: changeOptions,
  run({ jobs }, { id, 'copy-mode': copyMode }) {
    // As QEMU, which leaves it to the job whether the type that is given is its own.
    jobs.getBlockJob(id).change(copyMode && { copyMode });
    return {};
  },
});
