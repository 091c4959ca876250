/** The amend job: changes what can be changed of an image, which is the keys of an encrypted one (specification: jobs, section 11). */
import type { AmendDefinition } from '../block/driver.ts';
import type { BlockNode } from '../block/node.ts';
import type { Job, JobDriver } from './job.ts';
import type { JobRegistry } from './job-registry.ts';

interface AmendRequest {
  id: string;
  node: BlockNode;
  definition: AmendDefinition;
  /** The driver's branch of BlockdevAmendOptions. */
  options: object;
  /** Also what may lose all data of the image. */
  force: boolean;
}

/** Creates the job, which is over when this settles. Errors: a bad id; everything else is the job's. */
export async function startAmend(jobs: JobRegistry, request: AmendRequest): Promise<Job> {
  const job = jobs.create(new AmendDriver(request), { id: request.id, autoDismiss: false });
  job.start();
  await job.reaction();
  return job;
}

class AmendDriver implements JobDriver {
  readonly type = 'amend';
  readonly isBlockJob = false;

  constructor(private readonly request: AmendRequest) {}

  async run(job: Job): Promise<void> {
    const { node, definition, options, force } = this.request;
    job.progress.expect(1);
    node.ref();
    try {
      await definition.change(node, options, { force });
    } finally {
      job.progress.advance(1);
      await node.graph.unref(node);
    }
  }
}
