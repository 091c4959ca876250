/**
 * The create job: makes an image, or the file for one (specification: jobs, section 11).
 *
 * It works on no node of others but the one that it writes into, cannot be held, and stays to be dismissed. Cancelled
 * while it works, it fails when it is done.
 */
import { assert } from '../base/assert.ts';
import { createDeferred } from '../base/deferred.ts';
import { asBlockError } from '../base/errors.ts';
import { type GivenNode, openGiven, writeImage } from '../block/create.ts';
import type { CreateJobDefinition, DriverDefinition } from '../block/driver.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import type { Job, JobDriver } from './job.ts';
import type { JobRegistry } from './job-registry.ts';

interface CreateRequest {
  id: string;
  driver: DriverDefinition;
  /** Its branch of BlockdevCreateOptions. */
  options: Readonly<Record<string, unknown>>;
}

/**
 * Creates the job and starts it. Settles when it has begun to work, or has failed before. Errors: a bad id. What is
 * wrong with the options is the error of the job: at once when they ask for what is not done here, otherwise when the
 * file has been opened, as in QEMU.
 */
export async function startCreate(
  graph: BlockGraph,
  jobs: JobRegistry,
  { id, driver, options }: CreateRequest,
): Promise<Job> {
  const work = new CreateDriver(graph, driver, options);
  const job = jobs.create(work, { id, autoDismiss: false });
  job.start();
  await work.hasBegun;
  await job.transaction.completion;
  return job;
}

class CreateDriver implements JobDriver {
  readonly type = 'create';
  readonly isBlockJob = false;
  private readonly begun = createDeferred();

  constructor(
    private readonly graph: BlockGraph,
    private readonly driver: DriverDefinition,
    private readonly options: Readonly<Record<string, unknown>>,
  ) {}

  get hasBegun(): Promise<void> {
    return this.begun.promise;
  }

  async run(job: Job): Promise<void> {
    job.progress.expect(1);
    try {
      await (this.driver.create?.createFile ? this.makeFile() : this.makeImage());
    } finally {
      job.progress.advance(1);
    }
  }

  /** The command is answered before it is known what comes of it. */
  private async begin(): Promise<void> {
    this.begun.resolve();
    await this.graph.platform.clock.yield();
  }

  async abort(): Promise<void> {
    this.begun.resolve();
  }

  async commit(): Promise<void> {
    this.begun.resolve();
  }

  private async makeFile(): Promise<void> {
    const { driver, graph, options } = this;
    const { create } = driver;
    assert(create?.createFile && create.job, `driver ${driver.name} makes no files`);
    // No prefix is taken off: this is a member of options, not a name that may say more.
    const filename = options['filename'] as string;
    await create.createFile(graph.platform, filename, create.job.values(options), () => this.begin());
  }

  private async makeImage(): Promise<void> {
    const { driver, graph, options } = this;
    assert(driver.create?.job, `driver ${driver.name} makes no images`);
    refuseUnsupported(driver.create.job, options);
    await this.begin();
    const node = await this.openFile();
    try {
      await writeImage(driver, node, driver.create.job.values(options), { graph, given: options });
    } finally {
      await graph.unref(node);
    }
  }

  private openFile(): Promise<BlockNode> {
    return openGiven(this.graph, this.options['file'] as GivenNode);
  }
}

/** Errors: ENOTSUP. What else is wrong with the options is left to be found. */
function refuseUnsupported(job: CreateJobDefinition, options: Readonly<Record<string, unknown>>): void {
  try {
    job.values(options);
  } catch (error) {
    if (asBlockError(error).errno === 'ENOTSUP') throw error;
  }
}
