/**
 * Assertions: a false one is a bug in blockyard, never a mistake of a user, an image or a peer.
 * Nothing catches them except the place where a job or a connection ends.
 */
class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the branch of a switch that the types say is never taken. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}
