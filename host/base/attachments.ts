/**
 * What others keep with an object for as long as it lives: upper layers with nodes and graphs of the block layer, which
 * knows nothing of them.
 *
 * Each kind of thing has a key, made once by the module whose affair it is. What is under it is made when it is asked for
 * first, stays the same from then on, and goes with its owner. Whoever can import the owner's type uses a member instead.
 */

/** For what an `Owner` has one `T` of. */
export class AttachmentKey<Owner, T> {
  constructor(readonly make: (owner: Owner) => T) {}
}

export class Attachments<Owner> {
  private readonly things = new Map<object, unknown>();

  constructor(private readonly owner: Owner) {}

  get<T>(key: AttachmentKey<Owner, T>): T {
    // Whatever is under a key was made by it.
    if (this.things.has(key)) return this.things.get(key) as T;
    const made = key.make(this.owner);
    this.things.set(key, made);
    return made;
  }

  /** Whether it has been asked for. */
  has(key: AttachmentKey<Owner, unknown>): boolean {
    return this.things.has(key);
  }
}
