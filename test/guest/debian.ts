/**
 * A Linux guest from Debian's packages: the i386 kernel, and an initial file system with busybox, mke2fs and the modules
 * for IDE disks, ext4 and the power button. Its init prints `guest ready` on the serial port and runs a shell there, without echo.
 *
 * apt fetches the packages, into lists and folders of its own; nothing is installed and nothing of the system is changed. The
 * outcome is kept below the folder for temporary files and used again by later runs. Firmware comes from the package
 * `seabios` of this machine.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { requireAll } from '../support/tools.ts';
import { type ArchiveEntry, cpioArchive } from './cpio.ts';
import { modulesInOrder } from './modules.ts';

/** Paths of files. */
export interface DebianGuest {
  readonly kernel: string;
  readonly initrd: string;
  readonly bios: string;
  readonly vgaBios: string;
}

/** To be changed whenever what is in a guest changes. */
const version = 4;
const firmware = '/usr/share/seabios';
const source = 'deb [arch=i386] http://deb.debian.org/debian bookworm main\n';
const modules = ['libata', 'ata_piix', 'sd_mod', 'crc32c_generic', 'ext4', 'button'];
/** Programs from packages, each with the libraries it needs. */
const packages = [
  'busybox-static',
  'e2fsprogs',
  'libc6',
  'libext2fs2',
  'libcom-err2',
  'libblkid1',
  'libuuid1',
];
const libraries = /^(ld-linux|libc|libext2fs|libe2p|libcom_err|libblkid|libuuid)\.so\./;

/** Undefined where it cannot be assembled: tests that need it skip. With REQUIRE_ALL=1 that is an error. */
export async function debianGuest(): Promise<DebianGuest | undefined> {
  try {
    return assemble();
  } catch (error) {
    if (requireAll) throw error;
    process.stderr.write(`no Debian guest: ${String(error).split('\n')[0]}\n`);
    return undefined;
  }
}

function assemble(): DebianGuest {
  const folder = join(tmpdir(), `blockyard-guest-${version}`);
  if (!existsSync(folder)) {
    const work = mkdtempSync(join(tmpdir(), 'blockyard-guest-making-'));
    try {
      build(work);
      // Whole or not at all; another process may have been first.
      if (!existsSync(folder)) renameSync(join(work, 'guest'), folder);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  const guest = {
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.gz'),
    bios: join(firmware, 'bios.bin'),
    vgaBios: join(firmware, 'vgabios-stdvga.bin'),
  };
  for (const path of Object.values(guest)) if (!existsSync(path)) throw new Error(`${path} is missing`);
  return guest;
}

function build(work: string): void {
  const root = join(work, 'root');
  fetchPackages(work, root);
  const boot = join(root, 'boot');
  const kernel = readdirSync(boot).find((name) => name.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new Error('the kernel package has no kernel');
  const guest = join(work, 'guest');
  mkdirSync(guest);
  writeFileSync(join(guest, 'vmlinuz'), readFileSync(join(boot, kernel)));
  writeFileSync(join(guest, 'initrd.gz'), gzipSync(cpioArchive(initialFiles(root)), { level: 1 }));
}

/** Unpacks the packages into `root`. */
function fetchPackages(work: string, root: string): void {
  const lists = join(work, 'lists');
  const downloads = join(work, 'downloads');
  for (const folder of [join(lists, 'partial'), downloads, root]) mkdirSync(folder, { recursive: true });
  const sources = join(work, 'sources.list');
  writeFileSync(sources, source);
  const settings = [
    'APT::Architectures::=i386',
    `Dir::State::lists=${lists}`,
    `Dir::Etc::sourcelist=${sources}`,
    'Dir::Etc::sourceparts=-',
    'Acquire::Languages=none',
  ].flatMap((setting) => ['-o', setting]);
  const run = (tool: string, args: string[]): string =>
    execFileSync(tool, args, {
      cwd: downloads,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 180_000,
    });
  run('apt-get', [...settings, 'update']);
  const found = run('apt-cache', [...settings, 'search', '--names-only', '^linux-image-[0-9.]+-[0-9]+-686$']);
  const kernels = [...found.matchAll(/^linux-image-\S+-(\d+)-686 /gm)];
  const kernel = kernels.sort(([, one], [, other]) => Number(other) - Number(one))[0]?.[0].trim();
  if (kernel === undefined) throw new Error('there is no kernel package');
  run('apt-get', [...settings, 'download', ...[kernel, ...packages].map((name) => `${name}:i386`)]);
  for (const file of readdirSync(downloads)) {
    if (file.endsWith('.deb')) run('dpkg-deb', ['-x', join(downloads, file), root]);
  }
}

function initialFiles(root: string): ArchiveEntry[] {
  const loaded = modulesInOrder(join(root, 'lib/modules'), modules);
  const program = (path: string, from: string): ArchiveEntry => ({
    path,
    kind: 'file',
    data: readFileSync(join(root, from)),
    executable: true,
  });
  const libraryFolder = 'lib/i386-linux-gnu';
  const found = [libraryFolder, `usr/${libraryFolder}`].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => libraries.test(name))
      .map((name) => program(`lib/${name}`, `${folder}/${name}`)),
  );
  const folders = ['bin', 'dev', 'etc', 'lib', 'mnt', 'modules', 'proc', 'sbin', 'sys', 'tmp'];
  return [
    ...folders.map((path) => ({ path, kind: 'directory' }) as const),
    {
      path: 'init',
      kind: 'file',
      data: Buffer.from(initScript(loaded.map(({ name }) => name))),
      executable: true,
    },
    program('bin/busybox', 'bin/busybox'),
    program('sbin/mkfs.ext4', 'sbin/mke2fs'),
    ...found,
    ...loaded.map(({ name, data }) => ({ path: `modules/${name}.ko`, kind: 'file', data }) as const),
  ];
}

function initScript(names: readonly string[]): string {
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/sbin:/bin HOME=/ PS1=
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in ${names.join(' ')}; do insmod /modules/$module.ko; done
stty -F /dev/ttyS0 -echo
echo 'guest ready' > /dev/ttyS0
exec setsid sh -c 'exec sh < /dev/ttyS0 > /dev/ttyS0 2>&1'
`;
}
