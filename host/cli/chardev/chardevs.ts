/**
 * All chardevs of a program, by id, and who uses them.
 *
 * Users are named while the command line takes effect, and are handed no connection before `serve`: whoever connects
 * earlier waits, and is greeted when the last option has been taken. When an option fails, `closeAll` ends what waits
 * without a word.
 */
import { assert } from '../../base/assert.ts';
import { invalid } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import type { Chardev } from './chardev.ts';
import { type ChardevServices, describeChardev } from './options.ts';

/** What a user does with what is typed: takes each key and shows it, or takes lines that a terminal has shown. */
export type Typing = 'keys' | 'lines';

interface Use {
  chardev: Chardev;
  typing: Typing;
  onConnection(connection: Connection): void;
}

export class Chardevs {
  private readonly byId = new Map<string, Chardev>();
  private readonly uses = new Map<string, Use>();
  private hasStdio = false;
  private isServing = false;
  /** What the command line waits for. */
  private awaited: Chardev | undefined;

  /** Opens what `text` describes, and waits until it is ready; `ownId` when `text` gives no id. Errors: BlockError. */
  async add(text: string, services: ChardevServices, ownId?: string): Promise<void> {
    const { id, backend, open } = describeChardev(text, services, ownId);
    if (this.byId.has(id)) {
      throw invalid(`attempt to add duplicate property '${id}' to object (type 'container')`);
    }
    if (backend === 'stdio' && this.hasStdio) {
      throw invalid('cannot use stdio by multiple character devices');
    }
    const chardev = await open();
    this.byId.set(id, chardev);
    if (backend === 'stdio') this.hasStdio = true;
    this.awaited = chardev;
    await chardev.whenReady;
    this.awaited = undefined;
  }

  /** All of them, in the order in which they came. */
  list(): { id: string; filename: string; isUsed: boolean }[] {
    return [...this.byId].map(([id, { filename }]) => ({ id, filename, isUsed: this.uses.has(id) }));
  }

  /** Says who gets the connections of a chardev. Errors: BlockError, there is no such chardev, or it has a user. */
  use(id: string, onConnection: (connection: Connection) => void, typing: Typing = 'lines'): void {
    const chardev = this.byId.get(id);
    if (!chardev) throw invalid(`chardev "${id}" not found`);
    if (this.uses.has(id)) throw invalid(`chardev '${id}' is already in use`);
    assert(!this.isServing, 'chardevs get their users before they are served');
    this.uses.set(id, { chardev, onConnection, typing });
  }

  /** The command line has taken effect: from now on clients are answered. */
  serve(): void {
    this.isServing = true;
    for (const { chardev, onConnection, typing } of this.uses.values()) {
      if (typing === 'keys') chardev.takeKeys?.();
      chardev.serve(onConnection);
    }
  }

  /** Nobody has connected yet, and now need not: `add` rejects with ECANCELED. */
  stopWaiting(): void {
    this.awaited?.close();
  }

  closeAll(): void {
    for (const chardev of this.byId.values()) chardev.close();
  }
}
