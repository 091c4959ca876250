/** The table of internal snapshots (specification: cli, section 3). */
import type { SnapshotInfo } from '../../block/snapshots.ts';
import { formatSize } from './human-size.ts';

/** Lines, the header first. */
export function snapshotTable(snapshots: readonly object[]): string[] {
  const rows = (snapshots as readonly SnapshotInfo[]).map((snapshot) =>
    row(
      snapshot.id,
      snapshot.name,
      formatSize(Number(snapshot['vm-state-size'])),
      localTime(snapshot['date-sec']),
      vmClock(snapshot),
      snapshot.icount === undefined ? '--' : String(snapshot.icount),
    ),
  );
  return [row('ID', 'TAG', 'VM_SIZE', 'DATE', 'VM_CLOCK', 'ICOUNT'), ...rows];
}

/** As C pads: by bytes. */
function padded(text: string, bytes: number): string {
  return text + ' '.repeat(Math.max(bytes - Buffer.byteLength(text), 0));
}

function row(id: string, tag: string, size: string, date: string, clock: string, icount: string): string {
  return `${padded(id, 7)} ${padded(tag, 16)} ${size.padStart(8)} ${date.padStart(19)} ${clock.padStart(15)} ${icount.padStart(10)}`;
}

const two = (value: number): string => String(value).padStart(2, '0');

function localTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function vmClock(snapshot: SnapshotInfo): string {
  const seconds = snapshot['vm-clock-sec'];
  const milliseconds = String(Math.floor(snapshot['vm-clock-nsec'] / 1e6)).padStart(3, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${String(hours).padStart(4, '0')}:${two(minutes)}:${two(seconds % 60)}.${milliseconds}`;
}
