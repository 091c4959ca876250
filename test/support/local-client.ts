/** A QMP client of a server in this process: real bytes in both directions, no socket. */
import { joinedConnections } from '../../host/platform/joined-connections.ts';
import { QmpClient } from '../../host/qmp/client.ts';
import type { QmpServer } from '../../host/qmp/server.ts';

export function connectClient(server: QmpServer): Promise<QmpClient> {
  const [ours, theirs] = joinedConnections();
  server.connect(theirs);
  return QmpClient.connect(ours);
}
