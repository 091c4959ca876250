/**
 * A connection that speaks Telnet (RFC 854), as `telnet=on` of a socket has it: we say that we echo, go ahead without being asked
 * to, and want eight bits; what the peer asks for is not looked at. A byte 255 is doubled on its way in either direction.
 */
import type { Connection, ConnectionHandlers } from '../../platform/connection.ts';

const [iac, will, dont, doIt, sb, se] = [255, 251, 254, 253, 250, 240];
const [binary, echo, suppressGoAhead] = [0, 1, 3];

const greeting = Uint8Array.of(
  ...[iac, will, echo],
  ...[iac, will, suppressGoAhead],
  ...[iac, will, binary],
  ...[iac, doIt, binary],
);

/** What the next byte is. `inside`: of parameters, which last until IAC SE. */
type State = 'data' | 'command' | 'option' | 'inside' | 'insideCommand';

export class TelnetConnection implements Connection {
  private state: State = 'data';

  constructor(private readonly peer: Connection) {
    peer.write(greeting);
  }

  start(handlers: ConnectionHandlers): void {
    this.peer.start({
      ...handlers,
      data: (bytes) => {
        const data = bytes.filter((byte) => this.isData(byte));
        if (data.length > 0) handlers.data(data);
      },
    });
  }

  write(bytes: Uint8Array): void {
    this.peer.write(bytes.includes(iac) ? doubled(bytes) : bytes);
  }

  get unsentBytes(): number {
    return this.peer.unsentBytes;
  }

  pause(): void {
    this.peer.pause();
  }

  resume(): void {
    this.peer.resume();
  }

  close(): void {
    this.peer.close();
  }

  /** Whether the byte is for the user, and goes on to what follows it. */
  private isData(byte: number): boolean {
    const { state } = this;
    this.state = next(state, byte);
    return state === 'data' ? byte !== iac : state === 'command' && byte === iac;
  }
}

function next(state: State, byte: number): State {
  switch (state) {
    case 'data':
      return byte === iac ? 'command' : 'data';
    case 'command':
      if (byte === sb) return 'inside';
      return byte >= will && byte <= dont ? 'option' : 'data';
    case 'option':
      return 'data';
    case 'inside':
      return byte === iac ? 'insideCommand' : 'inside';
    case 'insideCommand':
      return byte === se ? 'data' : 'inside';
  }
}

function doubled(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytes].flatMap((byte) => (byte === iac ? [iac, iac] : [byte])));
}
