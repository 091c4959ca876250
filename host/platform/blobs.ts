/**
 * What a page has handed over to be read as disks: Blobs, for instance a File that the user chose, by the names under which
 * nodes are opened. A monitor command could not carry them.
 */
export class Blobs {
  private readonly byName = new Map<string, Blob>();

  find(name: string): Blob | undefined {
    return this.byName.get(name);
  }

  /** Takes the place of one that had the name before. */
  register(name: string, blob: Blob): void {
    this.byName.set(name, blob);
  }

  /** Nodes that are open go on reading it. */
  unregister(name: string): void {
    this.byName.delete(name);
  }

  clear(): void {
    this.byName.clear();
  }
}
