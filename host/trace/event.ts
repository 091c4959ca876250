/**
 * One kind of thing that can be watched: its name, and what it tells each time it happens.
 *
 * `enabled` is a plain boolean, so that an event that nobody watches costs its call site one test:
 * `if (blockRead.enabled) blockRead.emit({ … })`. Nothing is worked out for an event before that test.
 *
 * The format names the arguments, in the order in which they are told, and says what they are: `node %s offset %d` has a text
 * and a number. Units come last in a name; `us` is microseconds. A line is the name and the format filled in, as in QEMU's
 * log: `block_read node disk offset 0 bytes 512 flags none result ok us 37`.
 */

/** The arguments of a format, by name. */
export type Values<F extends string> = F extends `${infer Name} %${infer Rest}`
  ? Rest extends `${infer Kind} ${infer Others}`
    ? Value<Name, Kind> & Values<Others>
    : Value<Name, Rest>
  : never;

type Value<Name extends string, Kind extends string> = {
  readonly [K in Name]: Kind extends 'd' ? number : string;
};

type AnyValues = Readonly<Record<string, string | number>>;

/** An event that has happened. Plain data: it can be sent to another thread. */
export interface TraceRecord {
  /** Name of the event. */
  readonly event: string;
  readonly args: AnyValues;
  /** Since the Unix epoch. */
  readonly time: { readonly seconds: number; readonly microseconds: number };
  /** The event as one line of text, without its end. */
  readonly line: string;
}

export class TraceEvent<F extends string = string> {
  /** Somebody watches. Only the tracer sets it. */
  enabled = false;
  /** What was asked for: watched as soon as there is somebody to tell. Only the tracer sets it. */
  selected = false;

  constructor(
    readonly name: string,
    private readonly format: F,
    private readonly tell: (event: string, args: AnyValues, line: string) => void,
  ) {}

  /** Tells everybody who watches. To be called when it is enabled. */
  emit(values: Values<F>): void {
    const args = values as AnyValues;
    const told = this.format.replace(/(\w+) %./g, (_, name: string) => `${name} ${printable(args[name]!)}`);
    this.tell(this.name, args, `${this.name} ${told}`);
  }
}

/** Names come from clients and images: what could be taken for the end of an argument or of a line is quoted. */
function printable(value: string | number): string {
  return typeof value === 'number' || /^[\w#./:@+,-]+$/.test(value) ? `${value}` : JSON.stringify(value);
}
