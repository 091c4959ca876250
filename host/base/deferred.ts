/** A promise that is settled from outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  /** Once it is settled, this does nothing. */
  resolve(value: T): void;
}

export function createDeferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
