/**
 * What the options and operands of generated command lines are given: often what is good for them, and often what is odd. An option
 * without an entry here fails the tests, so that no new one is forgotten.
 */
import type { CreateOption } from '../../../host/block/driver.ts';
import { qcow2 } from '../../../host/formats/qcow2/driver.ts';
import { raw } from '../../../host/formats/raw.ts';
import { file } from '../../../host/protocols/file/driver.ts';
import type { Seeded } from '../../support/seeded.ts';

type Values = (random: Seeded) => string;

/** Mostly one of the first. */
const mostly =
  (good: readonly string[], odd: readonly string[], oddOnceIn = 4): Values =>
  (random) =>
    random.pick(random.oneIn(oddOnceIn) ? odd : good);

const oddNumbers = [
  ...[
    '',
    ' ',
    'zz',
    '-1',
    '-64k',
    '-0',
    '0x',
    '0x10',
    '010',
    '1e3',
    '1,5',
    '1.00001k',
    '1KB',
    '1Kb',
    '+1',
    ' 1',
    '1 ',
  ],
  ...['nan', 'inf', '.5', '1.', '3.7', '2147483647', '2147483648', '4294967296', '9223372036854775807'],
  ...[
    '9223372036854775808',
    '18446744073709551615',
    '18446744073709551616',
    '7E',
    '8E',
    '16E',
    '64E',
    '1Z',
    '1b',
    '1B',
    '5s',
  ],
];

const sizes = mostly(
  [
    '0',
    '1',
    '511',
    '512',
    '513',
    '1000',
    '4k',
    '64k',
    '65537',
    '100k',
    '300k',
    '1M',
    '1.5M',
    '2M',
    '1000448',
    '4M',
    '64M',
  ],
  oddNumbers,
);

const backed = ['b.qcow2', 'c.qcow2', 'over-raw.qcow2', 'longer.qcow2', 'over-marked.qcow2'];
const sound = [
  ...[
    'a.qcow2',
    'other.qcow2',
    'short.qcow2',
    'empty.qcow2',
    'none.qcow2',
    'old.qcow2',
    'wide.qcow2',
    'packed.qcow2',
  ],
  ...[
    'snap.qcow2',
    'marked.qcow2',
    'r.raw',
    'odd.raw',
    'tiny.qcow2',
    'vast.qcow2',
    'zstd.qcow2',
    'laid.qcow2',
  ],
  ...['uneven.qcow2', 'holes.raw', ...backed],
];
const oddNames = [
  ...['orphan.qcow2', 'leaky.qcow2', 'broken.qcow2', 'cut.qcow2', 'strange.qcow2', 'locked.qcow2', 'text'],
  ...[
    'nothing.raw',
    'dir',
    'dir/',
    '.',
    'null',
    'version',
    'nonexistent',
    '/nonexistent/x',
    'r.raw/x',
    '',
    ' ',
    './a.qcow2',
  ],
  ...[
    'file:a.qcow2',
    'file:',
    'file://nowhere/a.qcow2',
    'zz:a.qcow2',
    './zz:a',
    'null-co://x',
    'x'.repeat(256),
  ],
  ...[
    'blkdebug::a.qcow2',
    'blkdebug:nonexistent:a.qcow2',
    'json:{"driver":"qcow2","file":{"driver":"file","filename":"b.qcow2"}}',
  ],
  ...[
    'json:{"driver":"raw","offset":512,"size":1024,"file":{"driver":"file","filename":"r.raw"}}',
    'json:{',
    'json:{}',
  ],
  ...[
    'json:{"driver":"null-co","size":65536,"read-zeroes":true}',
    'json:3',
    'json:{"driver":"zz"}',
    'json:{"file.filename":"a.qcow2"}',
  ],
  ...['json:{"driver":"qcow2","file.filename":"a.qcow2","zz":1}', 'driver=qcow2,file.filename=a.qcow2'],
];
const optionStrings = mostly(
  [
    ...[
      'driver=qcow2,file.filename=a.qcow2',
      'driver=raw,file.filename=r.raw',
      'file.filename=b.qcow2',
      'file.filename=c.qcow2',
    ],
    ...[
      'driver=qcow2,file.driver=file,file.filename=marked.qcow2',
      'driver=qcow2,file.filename=over-raw.qcow2',
    ],
    ...['driver=raw,offset=512,size=64k,file.filename=r.raw', 'driver=qcow2,file.filename=snap.qcow2'],
  ],
  [
    ...[
      '',
      ',',
      'a.qcow2',
      'filename=a.qcow2',
      'driver=qcow2',
      'driver=zz,file.filename=a.qcow2',
      'driver=qcow2,file=zz',
    ],
    ...['driver=qcow2,file.filename=a.qcow2,zz=1', 'driver=null-co,size=1M,read-zeroes=on'],
    ...[
      'driver=qcow2,file.filename=b.qcow2,backing.driver=null-co,backing.read-zeroes=on',
      'driver=qcow2,file.filename=b.qcow2,backing=',
    ],
    ...['driver=qcow2,file.filename=b.qcow2,backing.file.filename=other.qcow2', 'driver=file,filename=r.raw'],
    ...['driver=qcow2,file.filename=b.qcow2,backing=m,backing.x=y', 'driver=qcow2,file.filename=nonexistent'],
    ...[
      'driver=blkdebug,image.driver=qcow2,image.file.filename=a.qcow2',
      'driver=raw,offset=1,file.filename=r.raw',
    ],
    ...['driver=raw,size=100,file.filename=odd.raw', 'driver=qcow2,file.filename=a.qcow2,read-only=on'],
    ...[
      'driver=qcow2,file.filename=a.qcow2,file.locking=zz',
      'file.filename=a.qcow2,cache.direct=zz',
      'file.driver=zz',
    ],
    ...[
      'driver=qcow2,file.filename=locked.qcow2',
      'driver=copy-on-read,file.driver=qcow2,file.file.filename=c.qcow2',
    ],
    ...[
      'driver=throttle,throttle-group=tg,file.filename=a.qcow2',
      'driver=qcow2,data-file=x,file.filename=a.qcow2',
    ],
    ...[
      'driver=qcow2,file.filename=a.qcow2,lazy-refcounts=on',
      'driver=qcow2,file.filename=a.qcow2,l2-cache-size=1',
    ],
    ...[
      'driver=qcow2,,file.filename=a.qcow2',
      'driver=raw,driver=qcow2,file.filename=a.qcow2',
      'node-name=x,file.filename=a.qcow2',
    ],
  ],
);

/** The name of an image that there is, or of none. */
export const imageName = mostly(sound, oddNames);
/** With `--image-opts`. */
export const imageOptions: Values = (random) =>
  random.oneIn(12) ? imageName(random) : optionStrings(random);
export const backedImageName = mostly(backed, [...sound, ...oddNames]);
/** What is written to. */
export const targetName = mostly(
  ['o', 'o.qcow2', 'o2'],
  [
    ...['a.qcow2', 'b.qcow2', 'r.raw', 'empty.qcow2', 'old.qcow2', 'marked.qcow2'],
    ...oddNames.filter((name) => name !== 'version'),
  ],
  3,
);
export const targetOptions = mostly(
  [
    ...[
      'driver=qcow2,file.filename=empty.qcow2',
      'driver=raw,file.filename=r.raw',
      'driver=qcow2,file.filename=marked.qcow2',
    ],
    'driver=qcow2,file.filename=b.qcow2',
  ],
  [
    'o',
    'driver=qcow2',
    'driver=zz',
    'driver=qcow2,file.filename=o',
    'file.filename=empty.qcow2',
    '',
    'driver=null-co,size=4M',
  ],
);
export const diskSize = sizes;
export const resizeTo: Values = (random) =>
  random.pick(['', '', '', '+', '-']) +
  random.pick([sizes, sizes, mostly(['1G', '1T', '10G'], oddNumbers)])(random);
export const bitmapName = mostly(
  ['day', 'night', 'own', 'new', 'x'],
  ['', 'y'.repeat(1023), 'y'.repeat(1024), 'ö', 'a b', '-'],
  6,
);
/** Of a source that may name it. */
export const operandOfDd: Values = (random) =>
  random.pick(['bs', 'bs', 'count', 'count', 'skip', 'seek', 'conv', '', 'zz']);
export const ddNumber = mostly(['1', '2', '7', '512', '1000', '4k', '64k', '100k', '1M', '3'], oddNumbers);

const formats = mostly(
  ['qcow2', 'raw', 'qcow2'],
  [
    'zz',
    '',
    'QCOW2',
    'file',
    'host_device',
    'blkdebug',
    'null-co',
    'vdi',
    'vhdx',
    'luks',
    'throttle',
    'help',
    '?',
    'quorum',
  ],
  6,
);
const cacheModes = mostly(
  ['none', 'writeback', 'writethrough', 'directsync', 'unsafe'],
  ['off', '', 'zz', 'Writeback', 'on', 'none,x'],
  5,
);
const onOff = mostly(['on', 'off'], ['', 'yes', 'no', 'true', 'false', 'ON', '1', 'zz', 'on '], 5);
const preallocations = mostly(['off', 'metadata', 'falloc', 'full'], ['', 'zz', 'Off', 'none', 'on'], 6);
const snapshots = mostly(['one', '1', '2'], ['', 'zz', '0', '3', 'new', 'y'.repeat(300), 'ö', '1 '], 4);
const snapshotParameters: Values = (random) =>
  random.oneIn(2)
    ? snapshots(random)
    : random.pick([
        ...[
          'snapshot.name=one',
          'snapshot.id=1',
          'snapshot.id=2',
          'snapshot.name=1',
          'snapshot.name=one,snapshot.id=1',
        ],
        ...[
          'snapshot.name=one,snapshot.id=2',
          'snapshot.zz=1',
          'snapshot.',
          'snapshot.name=',
          'snapshot.id=1,',
          'snapshot.name',
        ],
      ]);
const objects = mostly(
  [
    ...['throttle-group,id=tg', 'throttle-group,id=tg,x-iops-total=1000000', 'main-loop,id=m'],
    ...['{"qom-type":"throttle-group","id":"tg"}', 'throttle-group,id=tg,limits.iops-total=1000000'],
  ],
  [
    ...[
      '',
      ',',
      'zz,id=x',
      'throttle-group',
      'id=x',
      'throttle-group,id=1',
      'throttle-group,id=',
      'throttle-group,id=tg,zz=1',
    ],
    ...[
      'throttle-group,id=tg,x-iops-total=zz',
      'throttle-group,id=tg,x-iops-total=-1',
      'secret,id=s',
      'iothread,id=io',
      'secret,id=s,data=abc',
      '{',
      '{}',
      '{"id":"x"}',
    ],
    ...['throttle-group,id=tg,x-iops-total-max=1', '[1]', '3'],
    ...[
      'help',
      'throttle-group,help',
      'iothread,id=io,poll-max-ns=zz',
      'throttle-group,id=a b',
      'qom-type=main-loop,id=s',
    ],
    ...[
      '{"qom-type":"throttle-group","id":3}',
      '{"qom-type":"throttle-group","id":"tg","zz":1}',
      'secret,data=x',
    ],
  ],
  3,
);

/** By the option's long name, or its short one when it has no other. */
const optionValues: Readonly<Record<string, Values>> = {
  object: objects,
  format: formats,
  f: formats,
  'source-format': formats,
  'output-format': formats,
  'target-format': formats,
  'backing-format': formats,
  'a-format': formats,
  'b-format': formats,
  'left-format': formats,
  'right-format': formats,
  output: mostly(['json', 'human'], ['', 'xml', 'JSON', 'json '], 6),
  cache: cacheModes,
  'source-cache': cacheModes,
  'output-cache': cacheModes,
  'backing-cache': cacheModes,
  options: creationOptions,
  backing: mostly(sound, ['', ...oddNames], 3),
  base: mostly(['a.qcow2', 'b.qcow2', 'r.raw', 'c.qcow2', './a.qcow2'], ['', ...oddNames], 4),
  'source-file': mostly(['marked.qcow2', 'over-marked.qcow2', 'a.qcow2'], oddNames, 4),
  merge: bitmapName,
  granularity: mostly(['512', '4k', '64k', '1M', '2G', '32k'], oddNumbers, 3),
  repair: mostly(['leaks', 'all'], ['', 'zz', 'ALL', 'leaks,all'], 6),
  rate: mostly(['1G', '100M'], ['', 'zz', '-1', '8E', '64E', '1.00001k', '1e9']),
  apply: snapshots,
  create: snapshots,
  delete: snapshots,
  snapshot: snapshotParameters,
  'sparse-size': sizes,
  parallel: mostly(
    ['1', '2', '8', '16'],
    ['0', '17', '-1', '', 'zz', '1k', '1.5', '0x2', '010', '99999999999999999999'],
  ),
  preallocation: preallocations,
  size: sizes,
  'start-offset': sizes,
  'max-length': sizes,
  count: mostly(['1', '2', '5'], ['0', '-1', '', 'zz', '1k', '0x2', '2147483648', '99999999999999999999']),
  depth: mostly(['1', '2', '8'], ['0', '-1', '', 'zz', '1k', '0x2', '2147483648']),
  aio: mostly(['threads', 'io_uring', 'native'], ['', 'zz']),
  offset: sizes,
  'buffer-size': mostly(['512', '4k', '64k', '1000', '1'], ['0', '-1', '', 'zz', '2147483648', '8E', '64E']),
  'step-size': mostly(['0', '512', '4k', '64k', '1000', '1'], ['-1', '', 'zz', '2147483648', '8E', '64E']),
  pattern: mostly(['0', '7', '255'], ['256', '-1', '', 'zz', '0x7', '1k']),
  'flush-interval': mostly(['1', '2', '8'], ['0', '-1', '', 'zz', '2147483648']),
};

/** Errors: an option that nobody has said values for. */
export function drawValue(option: string, random: Seeded): string {
  const values = optionValues[option];
  if (!values) throw new Error(`line-values.ts has no values for the option ${option}`);
  return values(random);
}

const creation: readonly CreateOption[] = [raw, qcow2, file].flatMap(({ create }) => create?.options ?? []);

const creationValues: Readonly<Record<string, Values>> = {
  cluster_size: mostly(
    ['512', '4k', '64k', '512k', '2M', '16k'],
    ['0', '256', '4M', '3000', '4097', ...oddNumbers],
  ),
  compat: mostly(['0.10', '1.1', 'v2', 'v3'], ['', '2', '3', '1.0', 'V3', '0.1', 'zz'], 6),
  refcount_bits: mostly(['1', '2', '8', '16', '32', '64'], ['0', '3', '128', ...oddNumbers]),
  preallocation: preallocations,
  compression_type: mostly(['zlib', 'zstd'], ['', 'lz4', 'ZLIB', 'none'], 6),
  backing_file: mostly(sound, ['', ...oddNames], 3),
  backing_fmt: formats,
  size: sizes,
  data_file: mostly(['data', 'r.raw'], ['', 'nonexistent/x']),
  'encrypt.format': mostly(['luks', 'aes'], ['', 'zz']),
  nocow: onOff,
  extent_size_hint: sizes,
};

/** How often options are drawn of which ours has none. */
const rare = 12;

function creationOptions(random: Seeded): string {
  if (random.oneIn(15))
    return random.pick([
      '',
      ',',
      'help',
      '?',
      'zz',
      'zz=1',
      '=1',
      'compat',
      'lazy_refcounts',
      'nolazy_refcounts',
      'cluster_size=4k,',
      ',compat=1.1',
      'compat=1.1,,x',
      'size',
    ]);
  const pairs: string[] = [];
  for (let count = 1 + random.below(3); count > 0; count--) {
    let option = random.pick(creation);
    while (/^encrypt|^data_file|^extended_l2/.test(option.name) && !random.oneIn(rare))
      option = random.pick(creation);
    const { name, type } = option;
    const values =
      creationValues[name] ?? { bool: onOff, size: sizes, number: sizes, string: mostly(['x'], ['']) }[type];
    pairs.push(`${name}=${values(random).replaceAll(',', ',,')}`);
  }
  return pairs.join(',');
}
