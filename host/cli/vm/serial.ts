/**
 * The serial port of v86 on a character device.
 *
 * What the guest sends while nobody is connected is lost, and so is what a client that does not read would leave in
 * memory. What a client sends goes to the guest in pieces that its port can hold, a while apart: there is no telling whether it has taken them.
 */
import type { Connection } from '../../platform/connection.ts';

/** The members of v86 that this needs. */
export interface SerialPort {
  add_listener(event: 'serial0-output-byte', listener: (byte: number) => void): void;
  serial_send_bytes(port: number, bytes: Uint8Array): void;
}

const unreadBytes = 1 << 20;
/** v86 holds 4096 bytes that the guest has not taken. */
const pieceBytes = 1024;
const pieceMs = 20;

export class SerialLine {
  private readonly connections = new Set<Connection>();
  private output: number[] = [];
  private input = new Uint8Array();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly port: SerialPort) {
    port.add_listener('serial0-output-byte', (byte) => {
      // v86 runs the guest for a while before anything else has its turn.
      if (this.output.length === 0) setImmediate(() => this.flush());
      this.output.push(byte);
    });
  }

  connect(connection: Connection): void {
    this.connections.add(connection);
    const closed = (): void => {
      this.connections.delete(connection);
    };
    connection.start({
      data: (bytes) => this.send(bytes),
      drained: () => {},
      ended: () => {},
      closed,
    });
  }

  close(): void {
    this.flush();
    clearTimeout(this.timer);
    for (const connection of this.connections) connection.close();
    this.connections.clear();
  }

  private flush(): void {
    if (this.output.length === 0) return;
    const bytes = Uint8Array.from(this.output);
    this.output = [];
    for (const connection of this.connections) {
      if (connection.unsentBytes < unreadBytes) connection.write(bytes);
    }
  }

  private send(bytes: Uint8Array): void {
    const all = new Uint8Array(this.input.length + bytes.length);
    all.set(this.input);
    all.set(bytes, this.input.length);
    this.input = all;
    if (this.timer === undefined) this.sendPiece();
  }

  private sendPiece(): void {
    this.timer = undefined;
    if (this.input.length === 0) return;
    this.port.serial_send_bytes(0, this.input.subarray(0, pieceBytes));
    this.input = this.input.slice(pieceBytes);
    this.timer = setTimeout(() => this.sendPiece(), pieceMs);
  }
}
