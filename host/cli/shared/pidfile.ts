/** `--pidfile`: says who we are while we run, under a lock, so that nobody else takes the file for its own. */
import { resolve } from 'node:path';
import { asBlockError, BlockError } from '../../base/errors.ts';
import { nodePlatform } from '../../platform/node/index.ts';
import type { HostFile } from '../../platform/platform.ts';

export class LockedPidfile {
  private constructor(
    private readonly path: string,
    private readonly file: HostFile,
  ) {}

  /** Errors: BlockError, `Could not create 'F': …`, `Cannot lock pid file: …`. */
  static async create(path: string): Promise<LockedPidfile> {
    let file: HostFile;
    try {
      file = await nodePlatform.files.open(path, { write: true, create: 'if-absent' });
    } catch (error) {
      throw asBlockError(error).within(`Could not create '${path}'`);
    }
    try {
      if (file.locks?.isHeldByOther(0)) throw new BlockError('EAGAIN').within('Cannot lock pid file');
      file.locks?.lockShared(0);
      const text = new TextEncoder().encode(`${process.pid}\n`);
      await file.truncate(0);
      await file.write(0, text);
      return new LockedPidfile(resolve(path), file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async remove(): Promise<void> {
    // While it is locked: afterwards it may be somebody else's.
    await nodePlatform.files.unlink(this.path).catch((error: unknown) => void asBlockError(error));
    await this.file.close();
  }
}

/** What daemons and machines put in front of what goes wrong with it. */
export const pidfileContext = 'cannot create PID file';
