/** A QMP server with all drivers and commands on the real platform, and what a client gets for its input. */

import { drivers } from '../../host/drivers.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { commands } from '../../host/qmp/commands/index.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { RecordingConnection } from './recording-connection.ts';

export function createServer(): QmpServer {
  return new QmpServer({ platform: nodePlatform, drivers, commands });
}

/** All that comes back, the greeting included, until the server has ended: the input must say `quit`. */
export async function transcriptOf(input: Uint8Array, nodes: readonly object[] = []): Promise<string> {
  const server = createServer();
  for (const options of nodes) await server.runLocally('blockdev-add', () => options);
  const client = new RecordingConnection();
  server.connect(client);
  client.send(input);
  await server.whenEnded;
  await server.close();
  return client.received;
}
