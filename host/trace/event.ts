/**
 * One kind of thing that can be watched: its name, and what it tells each time it happens.
 *
 * `enabled` is a plain boolean, so that an event that nobody watches costs its call site one test:
 * `if (event.enabled) event.emit({ … })`. Nothing is worked out for an event before that test. Its text is its name and its
 * arguments, as QEMU's log has them: `block_read node disk offset 0 bytes 512 flags none result ok us 37`.
 */

/** What an argument is. */
type Kind = 'text' | 'number';

/** The arguments of an event, in the order in which they are told. Units come last in a name; `us` is microseconds. */
export type Arguments = Readonly<Record<string, Kind>>;

export type Values<A extends Arguments> = { readonly [K in keyof A]: A[K] extends 'text' ? string : number };

/** An event that has happened. Plain data: it can be sent to another thread. */
export interface TraceRecord {
  /** Name of the event. */
  readonly event: string;
  readonly args: Readonly<Record<string, string | number>>;
  /** Since the Unix epoch. */
  readonly time: { readonly seconds: number; readonly microseconds: number };
  /** The event as one line of text, without its end. */
  readonly line: string;
}

export class TraceEvent<A extends Arguments = Arguments> {
  /** Somebody watches. Only the tracer sets it. */
  enabled = false;
  /** What was asked for: watched as soon as there is somebody to tell. Only the tracer sets it. */
  selected = false;

  constructor(
    readonly name: string,
    private readonly args: A,
    private readonly tell: (event: string, args: Values<A>, line: string) => void,
  ) {}

  /** Tells everybody who watches. To be called when it is enabled. */
  emit(values: Values<A>): void {
    const words = Object.keys(this.args).map((name) => `${name} ${printable(values[name]!)}`);
    this.tell(this.name, values, [this.name, ...words].join(' '));
  }
}

/** Names come from clients and images: what could be taken for the end of an argument or of a line is quoted. */
function printable(value: string | number): string {
  return typeof value === 'number' || /^[\w#./:@+,-]+$/.test(value) ? `${value}` : JSON.stringify(value);
}
