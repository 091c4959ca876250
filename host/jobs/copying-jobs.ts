/**
 * The jobs that copy, loaded when one is started: backup, mirror, commit and stream. In one piece: the active commit is a mirror,
 * they share how they copy, and each piece more would make what everybody loads larger.
 */

export { createBackupJob } from './backup/backup.ts';
export { startActiveCommit } from './commit/active-commit.ts';
export { chooseCommit } from './commit/choice.ts';
export { startCommit } from './commit/commit.ts';
export { mirror } from './mirror/mirror-request.ts';
export { chooseStream } from './stream/choice.ts';
export { startStream } from './stream/stream.ts';
