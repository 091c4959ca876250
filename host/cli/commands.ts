/** The commands of the executable, and what each is for. Each is loaded only when it is the one. */
type Main = (argv: string[], programName: string) => Promise<number>;

export interface Command {
  name: string;
  /** The tool it stands in for. */
  link?: string;
  help: string;
  load(): Promise<{ main: Main }>;
}

export const commands: readonly Command[] = [
  {
    name: 'img',
    link: 'qemu-img',
    help: 'create, inspect, check, convert and compare disk images (qemu-img)',
    load: () => import('./img/main.ts'),
  },
  {
    name: 'io',
    link: 'qemu-io',
    help: 'read and write disk images by hand or by script (qemu-io)',
    load: () => import('./io/main.ts'),
  },
  {
    name: 'nbd',
    link: 'qemu-nbd',
    help: 'serve a disk image to NBD clients (qemu-nbd)',
    load: () => import('./nbd/main.ts'),
  },
  {
    name: 'storage-daemon',
    link: 'qemu-storage-daemon',
    help: 'serve block nodes, jobs and a QMP monitor (qemu-storage-daemon)',
    load: () => import('./storage-daemon/main.ts'),
  },
  {
    name: 'system',
    link: 'qemu-system-*',
    help: 'be the storage of a machine without a processor (qemu-system-*)',
    load: () => import('./system/main.ts'),
  },
  {
    name: 'vm',
    help: 'run a PC by v86, with its disks on the block layer and a monitor beside it',
    load: () => import('./vm/main.ts'),
  },
  {
    name: 'web',
    help: 'serve a page that runs a machine and backs up its disks',
    load: () => import('./web/main.ts'),
  },
  {
    name: 'backup',
    help: 'back up disks to a repository that restic reads, check and restore them',
    load: () => import('./backup/main.ts'),
  },
  {
    name: 'demo',
    help: 'back up two live disks at one instant, and prove it',
    load: () => import('./demo/main.ts'),
  },
];
