/**
 * What the manual pages say beside their lists of options and commands. Each page is complete for somebody at a terminal without a
 * network; recipes are in the READMEs.
 */

export interface Prose {
  /** Behind the program's name. */
  readonly synopsis: string;
  readonly description: readonly string[];
  /** What somebody types. */
  readonly examples: readonly string[];
  /** Beside 0, 1 and 70, or in place of them. */
  readonly statuses?: readonly (readonly [status: string, meaning: string])[];
}

export const prose: Readonly<Record<string, Prose>> = {
  img: {
    synopsis: 'img [STANDARD OPTION …] COMMAND [OPTION …] FILE …',
    description: [
      'Makes, inspects, checks, converts and compares disk images: qcow2 and raw, in files and on web servers. It takes the commands and options of qemu-img, and prints what that prints; started by a link named qemu-img it is that tool.',
      'An image that another process has open for writing is not touched. Formats are guessed from the content unless one is named; an image that a guest could write to should have its format named. One in a format that is not read, such as vhdx or vdi, is refused by its name.',
      'A block device is named by its path as a file is. convert -n writes onto one.',
      'Sizes are in bytes; the suffixes k, M, G, T, P and E are powers of 1024.',
    ],
    examples: [
      'blockyard img create -f qcow2 disk.qcow2 10G',
      'blockyard img info --backing-chain disk.qcow2',
      'blockyard img convert -p -O qcow2 -c disk.raw disk.qcow2',
      'blockyard img convert --atomic -O qcow2 new.raw disk.qcow2',
      'blockyard img convert -n -O raw disk.qcow2 /dev/vg/disk',
      'blockyard img rebase -b base.qcow2 -F qcow2 disk.qcow2',
      'blockyard img check -r leaks disk.qcow2',
    ],
    statuses: [
      ['1', 'Something failed, and standard error says what. compare: the images differ.'],
      [
        '2',
        'check: the image is corrupt. compare: the second image cannot be opened, or something else failed.',
      ],
      ['3', 'check: clusters are leaked, and nothing else is wrong. compare: allocation cannot be told.'],
      ['4', 'compare: an image cannot be read.'],
      ['63', 'check: the format cannot be checked.'],
    ],
  },
  io: {
    synopsis: 'io [OPTION …] [-c COMMAND …] [FILE]',
    description: [
      'Reads, writes and inspects a disk image by commands, from options or a prompt. It takes the options and commands of qemu-io, and prints what that prints; started by a link named qemu-io it is that tool.',
    ],
    examples: [
      'blockyard io -c "write -P 7 0 64k" -c flush -c "read -P 7 0 64k" disk.qcow2',
      'blockyard io -r -c map disk.qcow2',
    ],
  },
  nbd: {
    synopsis: 'nbd [OPTION …] FILE',
    description: [
      'Serves a disk image to NBD clients: QEMU, nbdcopy, the NBD devices of Linux. It takes the options of qemu-nbd; started by a link of that name it is that tool.',
      'It ends when the last client has gone, unless -t is given, and with SIGINT, SIGTERM and SIGHUP. It listens on the socket that it was started with if LISTEN_FDS and LISTEN_PID say so.',
    ],
    examples: [
      'blockyard nbd -t -e 0 -f qcow2 -k /run/disk.sock disk.qcow2',
      'nbdcopy -- [ qemu-nbd -r -f qcow2 disk.qcow2 ] disk.raw',
    ],
  },
  'storage-daemon': {
    synopsis: 'storage-daemon [OPTION …]',
    description: [
      'Keeps block nodes open, runs block jobs on them, and answers QMP clients. It takes the options of qemu-storage-daemon; started by a link of that name it is that tool.',
      'Options take effect in the order in which they are given. A monitor greets when all of them have taken effect. SIGINT, SIGTERM and SIGHUP close what is open and end it.',
    ],
    examples: [
      'blockyard storage-daemon --blockdev driver=qcow2,node-name=d,file.driver=file,file.filename=disk.qcow2 --chardev socket,id=c,path=qmp.sock,server=on,wait=off --monitor chardev=c',
    ],
  },
  system: {
    synopsis: 'system [OPTION …] [DISK_IMAGE]',
    description: [
      'The storage of a machine without a processor: drives, devices, block jobs and both monitors of QEMU, for programs that back up or test disks. It takes those options of qemu-system-x86_64 that are about storage and monitors; started by a link named qemu-system-…, it is that program. DISK_IMAGE is a raw image of hard disk 0.',
      'Options begin with one dash or two. What is about parts that are not there is taken as it is, or refused by name.',
    ],
    examples: [
      'blockyard system -drive file=disk.qcow2,format=qcow2,id=d -monitor stdio -qmp unix:qmp.sock,server=on,wait=off',
    ],
  },
  vm: {
    synopsis: 'vm [OPTION …] [DISK_IMAGE]',
    description: [
      'A PC that v86 runs (the npm package of that name must be installed), with two IDE disks, a CD drive and a serial port, its disks on block nodes and a monitor beside it. DISK_IMAGE is a raw image of hard disk 0.',
      "It boots what -kernel names, or what is on the disks; when there is neither, a guest of its own that writes records to both disks. 'savevm' and 'loadvm' of the human monitor keep the machine in its qcow2 disks, and go back.",
    ],
    examples: [
      'blockyard vm -m 128 -hda a.qcow2 -hdb b.qcow2 -serial stdio -qmp unix:qmp.sock,server=on,wait=off',
      'blockyard vm -nographic -hda disk.qcow2',
    ],
  },
  web: {
    synopsis: 'web [OPTION …] [IMAGE …]',
    description: [
      'Serves a page that runs a machine, and backs up its disks while it runs. Images can be chosen in the page, which starts with the first; they are read by ranges over HTTP and never written: what a guest writes stays in the browser.',
      'Unless it is told otherwise the page is there for this machine only. Browsers let a page keep disks when it comes from this machine or by https.',
    ],
    examples: ['blockyard web --open disk.qcow2', 'blockyard web --host 0.0.0.0 --tls disk.qcow2'],
  },
  backup: {
    synopsis: 'backup COMMAND [OPTION …] [IMAGE …]',
    description: [
      'Keeps disks in a repository in the format of restic 0.14 and later (its version 2): encrypted, compressed, each piece of a disk stored once, however many snapshots have it. restic can check, restore, mount, copy and prune what is written here, and this reads what restic has written.',
      'A snapshot is a machine at one instant: a folder with the name of the machine, and a raw file for each of its disks. Nothing that is in a repository is ever changed, and a backup that is interrupted leaves nothing to repair.',
      'A repository is a folder, or a place in an object store that speaks S3 (Ceph, MinIO, Amazon and others), named as restic names it: s3:HOST/BUCKET/PREFIX by https, s3:http://HOST:PORT/BUCKET without. A store that is busy or restarts is asked again for a quarter of an hour; nothing is relied on that stores do differently.',
    ],
    examples: [
      'blockyard backup init -r /srv/backups --password-file secret',
      'blockyard backup run -r /srv/backups --password-file secret --machine web1 hda=disk.qcow2',
      'blockyard backup restore -r /srv/backups --password-file secret -O qcow2 latest /var/images',
      'blockyard backup run -r s3:https://objects.example.org/backups/web1 --password-file secret --machine web1 hda=disk.qcow2',
    ],
  },
  demo: {
    synopsis: 'demo [OPTION …]',
    description: [
      'Makes two disks in a temporary directory, writes linked records to both without a pause, and backs up both by one transaction; then it proves from the backups alone that they show one instant. A second transaction cannot start, and leaves nothing behind. The directory is removed in the end.',
    ],
    examples: ['blockyard demo'],
  },
};

/** Of the page about the program as a whole. */
export const overview = {
  description: [
    'The block layer of an emulator: raw and qcow2 disk images, a graph of block nodes, dirty bitmaps, backups of disks while they are written to, and a QMP monitor. It speaks the names, the protocol, the image format and the command line of QEMU.',
    'The first argument is the command. A link to this program that is named qemu-img, qemu-io, qemu-storage-daemon or qemu-system-… behaves as that tool.',
  ],
  environment: [
    [
      'RESTIC_REPOSITORY, RESTIC_PASSWORD, RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND',
      'What backup uses when it is not told.',
    ],
    [
      'AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN',
      'The keys of object stores. Otherwise MINIO_ACCESS_KEY and MINIO_SECRET_KEY; otherwise those of AWS_PROFILE (default) in AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials.',
    ],
    ['AWS_DEFAULT_REGION, AWS_REGION', 'The region of object stores (us-east-1), unless s3.region names it.'],
    [
      'NODE_EXTRA_CA_CERTS',
      'A file with certificates (PEM) of those who vouch for servers beside the usual ones.',
    ],
    [
      'BLOCKYARD_AIO',
      'With threads or io_uring, files that are opened without aio are read and written that way alone, and never in place. Otherwise each request goes by what is best for it.',
    ],
    ['BLOCKYARD_DEBUG', 'With 1, an internal error shows where in the sources it is.'],
    [
      'NODE_DISABLE_COMPILE_CACHE',
      'With 1, no compiled code of the program is kept, neither in its folder nor in blockyard/ of XDG_CACHE_HOME or ~/.cache.',
    ],
    ['TMPDIR', 'Where -snapshot and demo put their files.'],
  ],
} as const;

export const statuses: readonly (readonly [status: string, meaning: string])[] = [
  ['0', 'All went well.'],
  ['1', 'Something failed, and standard error says what.'],
];

export const internalStatus = ['70', 'A bug in blockyard itself. What is open has been closed.'] as const;
