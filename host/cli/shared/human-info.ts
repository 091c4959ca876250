/** ImageInfo as text for people: `img info`, and the format's own part of it also in `io`. */
import { formatSize } from './human-size.ts';
import type { ImageInfo } from './image-info.ts';
import { snapshotTable } from './snapshot-table.ts';

type OneImage = Omit<ImageInfo, 'children'>;

/** How the first lines call what they tell: of an image, and of where the bytes of one come from. */
const imageLabels = ['image', 'file format', 'virtual size'] as const;
const protocolLabels = ['filename', 'protocol type', 'file length'] as const;

/** Ends with a newline; what the image is made of comes below it. */
export function humanInfoWithChildren(info: ImageInfo): string {
  return describeTree(info, imageLabels, '');
}

/** Every level is indented more than the one above. `path`: which child it is, from the image on. */
function describeTree(info: ImageInfo, labels: Labels, path: string): string {
  const parts = info.children.map((child) => {
    const childPath = `${path}/${child.name}`;
    const text = describeTree(child.info, child.isProtocol ? protocolLabels : imageLabels, childPath);
    return `Child node '${childPath}':\n${text.replace(/^(?=.)/gm, '    ')}`;
  });
  return [describeOne(info, labels), ...parts].join('');
}

/** Ends with a newline. */
export function humanInfo(info: OneImage): string {
  return describeOne(info, imageLabels);
}

type Labels = readonly [filename: string, format: string, length: string];

function describeOne(info: OneImage, [filename, format, length]: Labels): string {
  const lines = [
    `${filename}: ${info.filename}`,
    `${format}: ${info.format}`,
    `${length}: ${formatSize(info['virtual-size'])} (${BigInt(info['virtual-size'])} bytes)`,
    `disk size: ${info['actual-size'] === undefined ? 'unavailable' : formatSize(info['actual-size'])}`,
  ];
  if (info.encrypted) lines.push('encrypted: yes');
  if (info['cluster-size'] !== undefined) lines.push(`cluster_size: ${info['cluster-size']}`);
  if (info['dirty-flag']) lines.push('cleanly shut down: no');
  if (info['backing-filename'] !== undefined) lines.push(...backingLines(info, info['backing-filename']));
  if (info.snapshots) lines.push('Snapshot list:', ...snapshotTable(info.snapshots));
  return `${lines.join('\n')}\n${formatSpecificText(info['format-specific']?.data)}`;
}

function backingLines(info: OneImage, named: string): string[] {
  const full = info['full-backing-filename'];
  const format = info['backing-filename-format'];
  const actual = full === undefined ? ' (cannot determine actual path)' : ` (actual path: ${full})`;
  return [
    `backing file: ${named}${full === named ? '' : actual}`,
    ...(format === undefined ? [] : [`backing file format: ${format}`]),
  ];
}

/** Empty where there is nothing to tell. */
export function formatSpecificText(data: object | undefined): string {
  if (data === undefined) return '';
  const lines: string[] = [];
  dumpMembers(data, 1, lines);
  if (lines.length === 0) return '';
  return `Format specific information:\n${lines.map((line) => `${line}\n`).join('')}`;
}

function dumpMembers(value: object, depth: number, lines: string[]): void {
  const entries: [string, unknown][] = Array.isArray(value)
    ? value.map((element, index) => [`[${index}]`, element])
    : Object.entries(value).map(([key, member]) => [key.replaceAll('-', ' '), member]);
  const indent = '    '.repeat(depth);
  for (const [label, member] of entries) {
    if (member === undefined) continue;
    if (typeof member === 'object' && member !== null) {
      lines.push(`${indent}${label}:`);
      dumpMembers(member, depth + 1, lines);
    } else {
      lines.push(`${indent}${label}: ${String(member)}`);
    }
  }
}
