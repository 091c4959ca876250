/**
 * All chardevs of a program, by id, and who uses them: one user each, or several that take turns where `mux=on` says so.
 *
 * Users are named while the command line takes effect, and are handed no connection before `serve`: whoever connects
 * earlier waits, and is greeted when the last option has been taken. When an option fails, `closeAll` ends what waits
 * without a word.
 */
import { assert } from '../../base/assert.ts';
import { invalid } from '../../base/errors.ts';
import type { Chardev } from './chardev.ts';
import { Mux, type MuxServices } from './mux.ts';
import { type ChardevServices, describeChardev } from './options.ts';
import type { ChardevUser } from './user.ts';

interface Entry {
  readonly chardev: Chardev;
  /** Several users take turns. */
  readonly isShared: boolean;
  readonly users: ChardevUser[];
}

/** As QEMU has it. */
const maxSharingUsers = 4;

export class Chardevs {
  private readonly byId = new Map<string, Entry>();
  private hasStdio = false;
  private isServing = false;
  /** What the command line waits for. */
  private awaited: Chardev | undefined;

  /** Opens what `text` describes, and waits until it is ready; `ownId` when `text` gives no id. Errors: BlockError. */
  async add(text: string, services: ChardevServices, ownId?: string): Promise<void> {
    const { id, backend, isShared, open } = describeChardev(text, services, ownId);
    if (this.byId.has(id)) {
      throw invalid(`attempt to add duplicate property '${id}' to object (type 'container')`);
    }
    if (backend === 'stdio' && this.hasStdio) {
      throw invalid('cannot use stdio by multiple character devices');
    }
    const chardev = await open();
    this.byId.set(id, { chardev, isShared, users: [] });
    if (backend === 'stdio') this.hasStdio = true;
    this.awaited = chardev;
    await chardev.whenReady;
    this.awaited = undefined;
  }

  /** All of them, in the order in which they came; what is shared is a chardev above the one it shares. */
  list(): { id: string; filename: string; isUsed: boolean }[] {
    return [...this.byId].flatMap(
      ([
        id,
        {
          chardev: { filename },
          isShared,
          users,
        },
      ]) => {
        const isUsed = users.length > 0;
        if (!isShared) return { id, filename, isUsed };
        return [
          { id, filename: 'mux', isUsed },
          { id: `${id}-base`, filename, isUsed },
        ];
      },
    );
  }

  /** Says who gets the connections of a chardev. Errors: BlockError, there is no such chardev, or it has its users. */
  use(id: string, user: ChardevUser): void {
    const entry = this.byId.get(id);
    if (!entry) throw invalid(`chardev "${id}" not found`);
    const { isShared, users } = entry;
    if (!isShared && users.length > 0) throw invalid(`chardev '${id}' is already in use`);
    if (users.length === maxSharingUsers) {
      throw invalid(`too many uses of multiplexed chardev '${id}' (maximum is ${maxSharingUsers})`);
    }
    assert(!this.isServing, 'chardevs get their users before they are served');
    users.push(user);
  }

  /** The command line has taken effect: from now on clients are answered. `services`: for those who take turns. */
  serve(services: MuxServices): void {
    this.isServing = true;
    for (const { chardev, isShared, users } of this.byId.values()) {
      const [user] = users;
      if (!user) continue;
      if (users.some(({ kind }) => kind !== 'control')) chardev.takeKeys?.();
      if (isShared) {
        const mux = new Mux(inTurn(users), services);
        chardev.serve((connection) => mux.attach(connection));
      } else chardev.serve((connection) => void user.connect(connection));
    }
  }

  /** Nobody has connected yet, and now need not: `add` rejects with ECANCELED. */
  stopWaiting(): void {
    this.awaited?.close();
  }

  closeAll(): void {
    for (const { chardev } of this.byId.values()) chardev.close();
  }
}

/** Ports come when the machine is made, and monitors before it. */
function inTurn(users: readonly ChardevUser[]): ChardevUser[] {
  const arePorts = (one: boolean): ChardevUser[] => users.filter(({ kind }) => (kind === 'port') === one);
  return [...arePorts(false), ...arePorts(true)];
}
