/** SnapshotInfo, as queries and the commands about internal snapshots return it. */
import { int, optional, str, struct } from '../qapi/types.ts';

export const snapshotInfoType = struct('SnapshotInfo', {
  id: str,
  name: str,
  'vm-state-size': int,
  'date-sec': int,
  'date-nsec': int,
  'vm-clock-sec': int,
  'vm-clock-nsec': int,
  icount: optional(int),
});
