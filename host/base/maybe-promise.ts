/**
 * What is there at once, or comes later. A promise costs what a thousand bytes of a copy do: who asks for little a million times
 * takes what is there, and waits for the rest.
 */

export type MaybePromise<T> = T | Promise<T>;

/** What `next` makes of a value: at once if that is there. Throws what it would have rejected with, then. */
export function after<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
