/**
 * The amend job: changes what can be changed of an image (specification: jobs, section 11). No image here is
 * encrypted, so there is never anything to do but to say what cannot be done.
 */
import type { AmendDefinition } from '../block/driver.ts';
import type { Job, JobDriver } from './job.ts';
import type { JobRegistry } from './job-registry.ts';

interface AmendRequest {
  id: string;
  definition: AmendDefinition;
  /** The driver's branch of BlockdevAmendOptions. */
  options: object;
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
    job.progress.expect(1);
    job.progress.advance(1);
    this.request.definition.check(this.request.options);
  }
}
