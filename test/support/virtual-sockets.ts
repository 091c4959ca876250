/** Sockets without an operating system: who connects to a name is joined with who listens under it. */
import { BlockError } from '../../host/base/errors.ts';
import type { Connection } from '../../host/platform/connection.ts';
import { joinedConnections } from '../../host/platform/joined-connections.ts';
import type { SocketAddress, Sockets } from '../../host/platform/sockets.ts';

function nameOf(address: SocketAddress): string {
  return address.type === 'unix' ? address.path : JSON.stringify(address);
}

export class VirtualSockets implements Sockets {
  /** How many connections there have been. */
  connected = 0;
  /** The listeners' ends. */
  private readonly ends: Connection[] = [];
  private readonly listeners = new Map<string, (connection: Connection) => void>();

  async listen(address: SocketAddress, accept: (connection: Connection) => void): Promise<{ close(): void }> {
    const name = nameOf(address);
    this.listeners.set(name, accept);
    const close = (): void => {
      // Somebody else may listen there by now.
      if (this.listeners.get(name) === accept) this.listeners.delete(name);
    };
    return { close };
  }

  async connect(address: SocketAddress): Promise<Connection> {
    const name = nameOf(address);
    const accept = this.listeners.get(name);
    if (!accept) throw new BlockError('ENOENT').within(`Failed to connect to '${name}'`);
    const [ours, theirs] = joinedConnections();
    this.connected++;
    this.ends.push(theirs);
    accept(theirs);
    return ours;
  }

  /** All connections that there are break off. */
  cut(): void {
    for (const end of this.ends.splice(0)) end.close();
  }
}
