/**
 * The drives that `-drive` and its short forms have made: which interface each is for, and where on it (specification:
 * graph, section 10).
 */
import type { BlockBackend } from '../block/backend.ts';

export const interfaces = ['none', 'ide', 'scsi', 'floppy', 'pflash', 'mtd', 'sd', 'virtio', 'xen'] as const;

export type DriveInterface = (typeof interfaces)[number];

export interface Drive {
  backend: BlockBackend;
  interface: DriveInterface;
  bus: number;
  unit: number;
  media: 'disk' | 'cdrom';
  /** Its option, for messages: `-drive if=ide,…`. */
  context: string;
  /** A device was made for it without anybody asking. */
  isAutomatic: boolean;
}

export class Drives {
  private all: Drive[] = [];

  add(drive: Drive): void {
    this.all.push(drive);
  }

  list(): readonly Drive[] {
    return this.all;
  }

  at(kind: DriveInterface, bus: number, unit: number): Drive | undefined {
    return this.all.find((drive) => drive.interface === kind && drive.bus === bus && drive.unit === unit);
  }

  of(backend: BlockBackend): Drive | undefined {
    return this.all.find((drive) => drive.backend === backend);
  }

  forget(backend: BlockBackend): void {
    this.all = this.all.filter((drive) => drive.backend !== backend);
  }
}
