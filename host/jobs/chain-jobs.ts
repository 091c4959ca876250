/**
 * The jobs that few programs start, loaded when one is: commit, stream and mirror. In one piece: the active commit is a mirror, and
 * each piece more would make what everybody loads larger.
 */

export { startActiveCommit } from './commit/active-commit.ts';
export { chooseCommit } from './commit/choice.ts';
export { startCommit } from './commit/commit.ts';
export { mirror } from './mirror/mirror-request.ts';
export { chooseStream } from './stream/choice.ts';
export { startStream } from './stream/stream.ts';
