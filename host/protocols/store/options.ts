/** Options of the `store` driver (specification: store, section 10). */
import { optional, str, struct, type TypeOf } from '../../qapi/types.ts';

export const options = struct('BlockdevOptionsStore', {
  /** As RESTIC_REPOSITORY has it: a folder. */
  repository: str,
  /** The beginning of its id, or `latest`, which is also what it is by default: the newest that has the disk. */
  snapshot: optional(str),
  /** `MACHINE/DISK`; of a snapshot that restic made, the path of the file. */
  disk: str,
  /** Id of the secret that opens the repository. */
  'password-secret': str,
});

export type StoreOptions = TypeOf<typeof options>;
