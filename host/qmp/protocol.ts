/**
 * One side of a QMP session, without I/O (specification: qmp-protocol, sections 1 to 4): bytes in, requests out;
 * answers and events in, bytes out.
 *
 * Input is read no further than needed: up to one request that waits to be taken, or `maxQueued` once the client has
 * enabled out-of-band execution. What is in the input counts only when it is read, so that a request after
 * `qmp_capabilities` in the same packet finds the session negotiated. Errors in the input keep their place among the
 * requests. How a request is executed is not known here.
 */
import { BlockError } from '../base/errors.ts';
import { type JsonResult, JsonStream } from '../qapi/json.ts';
import { formatJson, formatPrettyJson } from '../qapi/json-output.ts';
import { isJsonObject, type JsonValue } from '../qapi/json-value.ts';
import { isOutOfBand } from './incoming-command.ts';
import { versionInfo } from './version.ts';

export const capabilities = ['oob'] as const;
type Capability = (typeof capabilities)[number];

/** Requests that may wait with out-of-band execution enabled. */
const maxQueued = 8;

/** A value that the client sent, or what is wrong with what it sent. */
export type Incoming = JsonResult;

export type Outcome = { return: unknown } | { error: BlockError };

export interface Timestamp {
  seconds: number;
  microseconds: number;
}

export class QmpProtocol {
  private mode: 'negotiation' | 'command' = 'negotiation';
  private enabled: ReadonlySet<Capability> = new Set();
  private readonly json = new JsonStream((result) => this.sort(result));
  private input: Uint8Array[] = [];
  private readonly inBand: Incoming[] = [];
  private readonly urgent: Incoming[] = [];

  constructor(private readonly pretty = false) {}

  // Negotiation.

  greeting(): Uint8Array {
    return this.encode({ QMP: { version: versionInfo, capabilities } });
  }

  get isNegotiated(): boolean {
    return this.mode === 'command';
  }

  get outOfBand(): boolean {
    return this.enabled.has('oob');
  }

  /** Leaves negotiation. Throws when that has been done already. */
  negotiate(wanted: readonly Capability[]): void {
    if (this.mode === 'command') {
      throw new BlockError('EINVAL', 'Capabilities negotiation is already complete, command ignored', {
        class: 'CommandNotFound',
      });
    }
    this.enabled = new Set(wanted);
    this.mode = 'command';
  }

  // Input.

  receive(bytes: Uint8Array): void {
    if (bytes.length > 0) this.input.push(bytes);
    this.read();
  }

  /** There is input that cannot be read yet: more should be held back. */
  get isFull(): boolean {
    return this.input.length > 0;
  }

  /** Whether `next` has something. */
  get hasRequest(): boolean {
    return this.inBand.length > 0;
  }

  /** The next request in order. */
  next(): Incoming | undefined {
    return this.inBand.shift();
  }

  /** To be called when an answer has been given: what follows can be read. */
  proceed(): void {
    this.read();
  }

  /** A request that is not to wait for those before it. */
  nextOutOfBand(): Incoming | undefined {
    return this.urgent.shift();
  }

  private read(): void {
    const limit = this.outOfBand ? maxQueued : 1;
    while (this.inBand.length < limit && this.input.length > 0) {
      const chunk = this.input[0]!; // there is one
      const taken = this.json.push(chunk);
      if (taken === chunk.length) this.input.shift();
      else this.input[0] = chunk.subarray(taken);
    }
  }

  private sort(incoming: Incoming): void {
    const urgent = this.outOfBand && 'value' in incoming && isOutOfBand(incoming.value);
    (urgent ? this.urgent : this.inBand).push(incoming);
  }

  // Output.

  answer(incoming: Incoming, outcome: Outcome): Uint8Array {
    const id = 'value' in incoming ? idOf(incoming.value) : undefined;
    if ('error' in outcome) {
      const { class: errorClass, message } = outcome.error;
      return this.encode({ error: { class: errorClass, desc: message }, id });
    }
    return this.encode({ return: outcome.return ?? {}, id });
  }

  /** Undefined before negotiation: the client does not get it, then or later. */
  event(timestamp: Timestamp, name: string, data: object | undefined): Uint8Array | undefined {
    return this.isNegotiated ? this.encode({ timestamp, event: name, data }) : undefined;
  }

  private encode(message: object): Uint8Array {
    const text = this.pretty ? formatPrettyJson(message, '\r\n') : formatJson(message);
    return encoder.encode(`${text}\r\n`);
  }
}

const encoder = new TextEncoder();

function idOf(value: JsonValue): JsonValue | undefined {
  return isJsonObject(value) && Object.hasOwn(value, 'id') ? value.id : undefined;
}
