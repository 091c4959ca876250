/** One at a time, in the order of asking. */
export class Mutex {
  private tail: Promise<unknown> = Promise.resolve();

  /** Runs `act` when everything asked for before has settled, and settles with its outcome. */
  run<T>(act: () => Promise<T>): Promise<T> {
    const result = this.tail.then(act, act);
    this.tail = result.catch(() => {});
    return result;
  }
}
