/**
 * The named root users of a graph: what `-drive` makes and `device` arguments of commands name (specification: graph,
 * section 1). Their names and those of nodes share one name space.
 */
import { invalid } from '../base/errors.ts';
import type { BlockBackend } from './backend.ts';

export class BackendTable {
  private readonly byName = new Map<string, BlockBackend>();
  /** Without a name, but held by a device: queries list them. */
  private readonly anonymous = new Set<BlockBackend>();

  private made = 0;

  /** For BlockBackend alone. */
  nextSerial(): number {
    return this.made++;
  }

  find(name: string): BlockBackend | undefined {
    return this.byName.get(name);
  }

  /** Those with a name and those that a device holds, oldest first. */
  list(): BlockBackend[] {
    return [...this.byName.values(), ...this.anonymous];
  }

  /** For BlockBackend alone. Throws when the name is taken. */
  add(backend: BlockBackend): void {
    if (backend.name === '') {
      this.anonymous.add(backend);
      return;
    }
    if (this.byName.has(backend.name)) throw invalid(`Device with id '${backend.name}' already exists`);
    this.byName.set(backend.name, backend);
  }

  remove(backend: BlockBackend): void {
    this.anonymous.delete(backend);
    if (this.byName.get(backend.name) === backend) this.byName.delete(backend.name);
  }
}
