/**
 * The internal snapshots of an open image, as the block layer has them: which there are, and one operation at a time.
 * The operations are in internal-snapshots.ts, which is loaded for the first of them: few disks have snapshots.
 */
import { Mutex } from '../../../base/mutex.ts';
import type { NewSnapshot, SnapshotStorage } from '../../../block/snapshot-storage.ts';
import { loadPart } from '../../../platform/platform.ts';
import { minExtraBytesV3, type Snapshot, type SnapshotTable } from '../disk/snapshot-table.ts';
import type { Qcow2Driver } from './image.ts';
import type { SnapshotOperations } from './internal-snapshots.ts';

export class Qcow2Snapshots implements SnapshotStorage {
  private readonly changes = new Mutex();
  private operations: SnapshotOperations | undefined;

  constructor(
    private readonly driver: Qcow2Driver,
    /** As it is on disk. */
    public table: SnapshotTable,
  ) {}

  list(): readonly Snapshot[] {
    return this.table.snapshots;
  }

  create(what: NewSnapshot): Promise<Snapshot> {
    return this.run((operations) => operations.create(what));
  }

  delete(snapshot: Snapshot): Promise<void> {
    return this.run((operations) => operations.delete(snapshot));
  }

  apply(snapshot: Snapshot): Promise<void> {
    return this.run((operations) => operations.apply(snapshot));
  }

  view(snapshot: Snapshot): Promise<void> {
    return this.run((operations) => operations.view(snapshot));
  }

  /** Gives every entry of the table the extra data that version 3 promises. */
  async upgradeTable(): Promise<void> {
    if (this.list().every(({ extra }) => extra.length >= minExtraBytesV3)) return;
    await this.run((operations) => operations.writeAnew());
  }

  saveVmState(offset: number, data: Uint8Array): Promise<void> {
    return this.run((operations) => operations.saveVmState(offset, data));
  }

  loadVmState(snapshot: Snapshot | undefined, offset: number, buffer: Uint8Array): Promise<void> {
    return this.run((operations) => operations.loadVmState(snapshot, offset, buffer));
  }

  private run<T>(act: (operations: SnapshotOperations) => Promise<T>): Promise<T> {
    return this.changes.run(async () => {
      this.operations ??= await this.load();
      return act(this.operations);
    });
  }

  private async load(): Promise<SnapshotOperations> {
    const { platform } = this.driver.context;
    const { SnapshotOperations } = await loadPart(platform, () => import('./on-demand.ts'));
    return new SnapshotOperations(this.driver, this);
  }
}
