/**
 * What each option of `img`, `io`, `nbd`, `storage-daemon`, `web`, `backup` and `demo` does, in a sentence: for manual pages, and for shells that
 * show it beside a completion. Which options there are is said by the tables that the commands read their command lines by; a test
 * finds those that have no sentence.
 */

/** What an option does; what its argument is called stands before it, if it takes one. */
export type OptionText = string | readonly [argument: string, help: string];

/** By an option's letter or, if it has none, its name. */
export type OptionTexts = Readonly<Record<string, OptionText>>;

const traceText: OptionText = [
  '[[enable=]PATTERN][,events=FILE][,file=FILE]',
  "show what happens, request by request; 'help' lists the events",
];

const standard: OptionTexts = {
  h: 'show the options, and exit',
  V: 'show the version, and exit',
  T: traceText,
};

const formatText: OptionText = ['FMT', 'the format of the image; guessed from its content when not given'];
const objectText: OptionText = [
  'TYPE,id=ID,…',
  'make an object that other options name, a throttle group for one; may be repeated',
];
const cacheModes = 'none, writeback, writethrough, directsync or unsafe';

/** Of every command of `img` that has them. */
const ofImages: OptionTexts = {
  h: standard['h']!, // it is above
  trace: traceText,
  f: formatText,
  q: 'print nothing but errors',
  p: 'show progress',
  U: 'open the image although another process has it open for writing',
  object: objectText,
  'image-opts': 'file names are option strings: driver=qcow2,file.filename=F',
  output: ['human|json', 'print text for people (human, the default) or JSON'],
  t: ['CACHE', `how the image that is written is cached: ${cacheModes}`],
  T: ['CACHE', `how the image that is read is cached: ${cacheModes}`],
  F: ['FMT', 'the format of the backing file'],
  o: ['OPTIONS', "options of the format, name=value,…; 'help' lists them"],
};

/** By commands of `img`: what they alone have, or mean in a way of their own. */
const ofImageCommands: Readonly<Record<string, OptionTexts>> = {
  amend: {
    o: ['OPTIONS', "the options to change, name=value,…; 'help' lists those that can be"],
    force: 'allow changes that can destroy the image',
  },
  bench: {
    c: ['COUNT', 'how many requests are made (75000)'],
    d: ['DEPTH', 'how many requests are under way at once (64)'],
    i: ['MODE', 'how files are read and written: threads, native or io_uring'],
    n: 'the same as -i native',
    o: ['OFFSET', 'where in the image the first request is, in bytes'],
    s: ['SIZE', 'the length of a request, in bytes (4k)'],
    S: [
      'SIZE',
      'from the beginning of a request to that of the next one, in bytes (the length of a request)',
    ],
    w: 'write instead of reading',
    pattern: ['BYTE', 'what is written (0)'],
    'flush-interval': ['COUNT', 'flush after every COUNT writes'],
    'no-drain': 'begin a flush while writes are still under way',
  },
  bitmap: {
    add: 'make a bitmap; it marks what is written from now on',
    remove: 'delete a bitmap',
    clear: 'forget what a bitmap has marked',
    enable: 'have a bitmap mark what is written',
    disable: 'have a bitmap mark nothing more',
    merge: ['BITMAP', 'mark what this bitmap has marked, too'],
    g: ['SIZE', 'how many bytes one bit of a new bitmap stands for'],
    b: ['FILE', 'the image that the bitmap of --merge is in'],
    F: ['FMT', 'the format of the image of -b'],
  },
  check: {
    r: ['leaks|all', 'repair leaked clusters, or whatever can be repaired'],
  },
  commit: {
    b: ['BASE', 'commit to this image of the backing chain, not to the one right below; implies -d'],
    d: 'leave the committed image as it is, instead of emptying it',
    r: ['RATE', 'at most RATE bytes a second'],
  },
  compare: {
    f: ['FMT', 'the format of the first image; guessed when not given'],
    F: ['FMT', 'the format of the second image; guessed when not given'],
    'left-format': ['FMT', 'the same as -f'],
    'right-format': ['FMT', 'the same as -F'],
    s: 'sizes and allocation have to be equal, too',
  },
  convert: {
    O: ['FMT', 'the format of the target (raw)'],
    B: ['FILE', 'the backing file of the target, which keeps only what differs from it'],
    b: ['FILE', 'the same as -B'],
    C: 'copy data as they are, without looking for zeros in them',
    c: 'compress the clusters of the target',
    l: ['SNAPSHOT', 'convert this internal snapshot: its id, its name, or snapshot.id=ID,snapshot.name=NAME'],
    S: ['SIZE', 'runs of zeros from this length on become holes (4k); 0: none do'],
    n: 'write to a target that exists already',
    m: ['COUNT', 'how many parts are copied at once, 1 to 16 (8)'],
    W: 'write out of order, which is faster, but leaves the parts of the target file in disorder',
    r: ['RATE', 'at most RATE bytes a second'],
    'source-image-opts': 'the same as --image-opts',
    'target-image-opts': 'the target is an option string',
    'target-is-zero': 'with -n: the target reads as zeros, so none need be written',
    salvage: 'go on when the source cannot be read: zeros take the place of what is lost, with a warning',
    bitmaps: 'copy persistent dirty bitmaps, too',
    'skip-broken-bitmaps': 'leave out bitmaps that were not stored in full',
    atomic: 'write under another name beside the target, which takes its place when it is whole',
  },
  create: {
    f: ['FMT', 'the format of the new image (raw)'],
    b: ['FILE', 'the backing file: what the image does not have is read from there'],
    u: 'do not look at the backing file, which need not be there',
  },
  info: {
    'backing-chain': 'show the backing files, too',
  },
  map: {
    s: ['OFFSET', 'where to begin, in bytes'],
    l: ['LENGTH', 'how many bytes to look at'],
  },
  dd: {
    O: ['FMT', 'the format of the output (raw)'],
  },
  measure: {
    O: ['FMT', 'the format of the new image (raw)'],
    l: ['SNAPSHOT', 'measure this internal snapshot'],
    size: ['SIZE', 'the size of the disk, when there is no image to be converted'],
  },
  rebase: {
    b: ['FILE', "the new backing file; '' for none"],
    F: ['FMT', 'the format of the new backing file'],
    u: 'only name another backing file: what the image shows changes unless both have the same content',
    c: 'compress what is copied into the image',
  },
  resize: {
    preallocation: ['MODE', 'how new space is allocated: off, metadata, falloc or full'],
    shrink: 'allow a smaller size; what lies behind the new end is lost',
  },
  snapshot: {
    l: 'list the snapshots',
    a: ['SNAPSHOT', 'go back to a snapshot'],
    c: ['SNAPSHOT', 'make a snapshot'],
    d: ['SNAPSHOT', 'delete a snapshot'],
  },
};

const ofIo: OptionTexts = {
  ...standard,
  object: objectText,
  'image-opts': 'the file name is an option string: driver=qcow2,file.filename=F',
  c: ['COMMAND', 'run this command; may be repeated. Without it commands are read from a prompt'],
  f: formatText,
  r: 'open for reading only',
  s: 'write to a temporary overlay, which is gone afterwards',
  n: 'the same as -t none',
  C: 'copy what is read from a backing file into the image',
  m: 'use buffers at odd addresses',
  k: 'the same as -i native',
  i: ['MODE', 'how files are read and written: threads, native or io_uring'],
  t: ['CACHE', `how the image is cached (writethrough): ${cacheModes}`],
  d: ['MODE', 'what discards do: unmap (the default) or ignore'],
  U: 'open the image although another process has it open for writing',
};

const ofNbd: OptionTexts = {
  ...standard,
  p: ['PORT', 'the TCP port to listen on (10809)'],
  b: ['ADDRESS', 'the address to listen at (0.0.0.0)'],
  k: ['PATH', 'listen on a unix socket of this absolute path instead'],
  e: ['NUMBER', 'how many clients there may be at the same time (1); 0: any number'],
  t: 'stay when the last client has gone',
  v: 'say who comes and goes, and what is negotiated',
  x: ['NAME', 'the name of the export (empty)'],
  D: ['TEXT', 'what it is, for people'],
  'handshake-limit': ['SECONDS', 'how long a client may take to choose the export (10); 0: any time'],
  o: ['OFFSET', 'serve what is in the image from this byte on'],
  A: 'tell clients how deep in the chain of backing files data is',
  B: ['NAME', 'tell clients what this persistent dirty bitmap has recorded; may be repeated'],
  L: 'refused: what other servers export cannot be listed',
  object: objectText,
  'tls-creds': [
    'ID',
    'clients have to speak TLS, with these credentials of a server (an object); with -L: speak it, with those of a client',
  ],
  'tls-authz': ['ID', 'let in whom this object allows, by the names in their certificates'],
  'tls-hostname': ['NAME', 'with -L: what the certificate of the server has to be for'],
  fork: 'go on in the background once clients can come',
  'pid-file': ['FILE', 'write the process ID to a file once clients can come'],
  'selinux-label': ['LABEL', 'refused'],
  c: ['DEVICE', 'refused where there is such a device: NBD devices of the kernel are not served'],
  d: 'refused where there is such a device: NBD devices of the kernel are not served',
  f: formatText,
  r: 'clients may only read',
  s: 'what clients write goes to a temporary overlay, and is gone afterwards',
  l: ['SNAPSHOT', 'serve an internal snapshot, to be read: snapshot.id=ID,snapshot.name=NAME, or either'],
  n: 'the same as --cache=none',
  cache: ['CACHE', `how the image is cached (writeback): ${cacheModes}`],
  aio: ['MODE', 'how files are read and written: threads, native or io_uring'],
  discard: ['MODE', 'what discards do: ignore (the default) or unmap'],
  'detect-zeroes': ['MODE', 'whether zeros are looked for in what is written: off, on or unmap'],
  'image-opts': 'FILE is an option string: driver=qcow2,file.filename=F',
};

const ofStorageDaemon: OptionTexts = {
  ...standard,
  blockdev: ['[driver=]DRIVER[,node-name=N][,…]', 'open a block node; the argument may be JSON'],
  chardev: ['BACKEND,id=ID[,…]', 'open a character device: stdio, null, file, pipe or socket'],
  daemonize: 'go on in the background once everything is there',
  export: ['[type=]nbd|nbd-ws,id=ID,node-name=N[,…]', 'export a block node by NBD, also over a WebSocket'],
  monitor: ['[chardev=]ID[,mode=control][,pretty=on|off]', 'serve QMP on a character device'],
  'nbd-server': ['addr.type=TYPE,addr.…=…[,…]', 'listen for the clients of exports'],
  object: objectText,
  pidfile: ['FILE', 'write the process ID to a file once everything is there'],
};

const ofWeb: OptionTexts = {
  ...standard,
  T: [traceText[0]!, "show who connects; 'help' lists the events"], // it has an argument
  open: 'show the page in the browser',
  host: ['ADDRESS', 'listen there (127.0.0.1); 0.0.0.0 stands for all addresses'],
  port: ['PORT', 'listen on this port (8086); 0: any that is free'],
  'allow-host': [
    'NAME',
    'answer requests for this name, too, with any port; may be repeated. All names but localhost and the addresses that are listened on are refused',
  ],
  tls: 'use https, with a certificate that is made now, and that browsers ask about. Browsers keep disks for pages by https and of localhost, and no others',
  'tls-cert': ['FILE', 'use https, with this certificate (PEM; those that vouch for it follow in it)'],
  'tls-key': ['FILE', 'the key of the certificate (PEM, without a passphrase)'],
  bios: ['FILE', 'firmware for machines that boot from a disk (SeaBIOS, where it is installed)'],
  'vga-bios': ['FILE', 'firmware of the display (that of SeaBIOS)'],
};

const ofBackup: OptionTexts = {
  h: standard['h']!, // it is above
  trace: traceText,
  r: [
    'REPOSITORY',
    'the folder of the repository, or s3:HOST/BUCKET/PREFIX in an object store, whose keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; RESTIC_REPOSITORY when not given',
  ],
  o: [
    'NAME=VALUE',
    'of an object store: s3.region, s3.connections (5), s3.bucket-lookup (auto, dns: the bucket is part of the host name, path)',
  ],
  'password-file': [
    'FILE',
    'the file whose first line is the password; otherwise RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND or RESTIC_PASSWORD',
  ],
  machine: ['NAME', 'the machine whose disks these are'],
  disk: ['NAME', 'restore this disk only; may be repeated'],
  n: 'write to images that are there, and only what differs; with -O or --target-image-opts',
  O: ['FMT', 'the format of the new images (raw), or with -n of those that are there'],
  'target-image-opts': 'with -n: images are option strings: driver=qcow2,file.filename=F',
  qmp: [
    'SOCKET',
    'back up disks of the running machine or storage daemon, ours or QEMU, that has its monitor there',
  ],
  scratch: [
    'FOLDER',
    'where what is overwritten meanwhile is kept: temporary files of the daemon (the folder for temporary files)',
  ],
  nbd: ['URI', 'the NBD server that the daemon has running already: nbd+unix:///?socket=PATH'],
  f: formatText,
  'image-opts': ofImages['image-opts']!, // it is above
  object: objectText,
  output: ofImages['output']!, // it is above
  p: ofImages['p']!, // it is above
  q: ofImages['q']!, // it is above
  'read-data': 'read all packs, and verify every byte',
  boot: [
    'TEXT',
    'start the newest snapshot of each machine in blockyard vm, from the repository, and wait for this on its serial port; behind -- are options of blockyard vm',
  ],
  'boot-timeout': ['SECONDS', 'how long each of them may take until then (120)'],
  'read-data-subset': ['PERCENT', 'do so with a share of the packs, drawn at random: 10%'],
};

export const optionTexts = {
  img: standard,
  io: ofIo,
  nbd: ofNbd,
  'storage-daemon': ofStorageDaemon,
  web: ofWeb,
  backup: ofBackup,
  demo: standard,
} as const satisfies Readonly<Record<string, OptionTexts>>;

/** Of a command of `img`. */
export function imageOptionTexts(command: string): OptionTexts {
  return { ...ofImages, ...ofImageCommands[command] };
}
