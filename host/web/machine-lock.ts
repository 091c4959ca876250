/** One tab at a time has a machine: its disks can be open once only. The browser lets go of it when the tab is closed or dies. */

const lockOf = (name: string): string => `blockyard machine ${name}`;

/** A page that comes neither over https nor from localhost has none; nor has it files that need one. */
function lockManager(): LockManager | undefined {
  const { locks } = navigator as { locks?: LockManager };
  return locks;
}

/** Takes the machine for this tab, and gives what lets go of it. Errors: another tab has it. */
export function holdMachine(name: string): Promise<() => void> {
  const locks = lockManager();
  if (!locks) return Promise.resolve(() => {});
  return new Promise((resolve, reject) => {
    locks
      .request(lockOf(name), { ifAvailable: true }, (lock) => {
        if (!lock)
          throw new Error(
            `The machine “${name}” is open in another tab. Go on there, or power it off there and start it here.`,
          );
        return new Promise<void>((release) => resolve(release));
      })
      .catch(reject);
  });
}

/** Names of the machines that some tab has. */
export async function heldMachines(): Promise<ReadonlySet<string>> {
  const { held = [] } = (await lockManager()?.query()) ?? {};
  const prefix = lockOf('');
  const names = held.map(({ name = '' }) => name).filter((name) => name.startsWith(prefix));
  return new Set(names.map((name) => name.slice(prefix.length)));
}
