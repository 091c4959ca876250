/**
 * Where our transcripts are allowed to differ from QEMU's, with the reason: by scenario, what to change in QEMU's
 * messages so that they are as ours. Nothing else may differ.
 */
import type { Message, Step } from '../../support/qmp-sessions.ts';

export interface Difference {
  readonly scenarios: readonly string[];
  readonly reason: string;
  /** From what QEMU said to what we say. */
  readonly adapt: (transcript: readonly Message[], steps: readonly Step[]) => Message[];
}

/** Every object in the transcript, however deep, as `change` makes it. */
function everywhere(
  transcript: readonly Message[],
  change: (object: Record<string, unknown>) => Record<string, unknown>,
): Message[] {
  const visit = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).map(([key, inner]) => [key, visit(inner)] as const);
    return change(Object.fromEntries(entries));
  };
  return transcript.map((message) => visit(message) as Message);
}

/** What copy-before-write keeps for itself is no dirty bitmap here. */
function withoutUnnamedBitmaps(info: Record<string, unknown>): Record<string, unknown> {
  const { 'dirty-bitmaps': bitmaps, ...rest } = info;
  if (!Array.isArray(bitmaps)) return info;
  const named = bitmaps.filter((bitmap: Record<string, unknown>) => 'name' in bitmap);
  return named.length > 0 ? { ...rest, 'dirty-bitmaps': named } : rest;
}

export const differences: readonly Difference[] = [
  {
    scenarios: ['queries: while a backup runs', 'filters: copy-before-write and snapshot-access'],
    reason: 'the maps of copy-before-write are no dirty bitmaps here, so queries do not list them',
    adapt: (transcript) => everywhere(transcript, withoutUnnamedBitmaps),
  },
  {
    scenarios: ['reopen: filters and raw'],
    reason: 'a filter has the new length of what it filters at once; QEMU shows the old one',
    adapt: (transcript) =>
      everywhere(transcript, (object) =>
        object['format'] === 'copy-on-read' ? { ...object, 'virtual-size': 1024 } : object,
      ),
  },
  {
    scenarios: ['system', 'storage-daemon'].map((program) => `queries: chardevs of ${program}`),
    reason: 'chardevs are of five kinds here',
    adapt: (transcript) => {
      const ours = ['file', 'null', 'pipe', 'socket', 'stdio'];
      return transcript.map((message) => {
        const list = message.return;
        if (!Array.isArray(list) || list.some((one: object) => 'label' in one)) return message;
        return { return: list.filter(({ name }: { name: string }) => ours.includes(name)) };
      });
    },
  },
  {
    scenarios: ['none', 'q35', 'pc'].map((type) => `queries: about a machine of type ${type}`),
    reason: 'there are machines of three types here, and no processor that could be plugged into one',
    adapt: (transcript) =>
      transcript.map((message) => {
        const list = message.return;
        if (!Array.isArray(list) || !String(list[0]).includes('"cpu-max"')) return message;
        const ours = (list as string[]).filter((one) => /"name":"(none|pc-(q35|i440fx)-10\.0)"/.test(one));
        const unplugged = (one: string): string =>
          one.replace('"hotpluggable-cpus":true', '"hotpluggable-cpus":false');
        return { return: ours.map(unplugged).sort() };
      }),
  },
];
