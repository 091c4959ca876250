/** The QMP commands about chardevs: which a program has, and of which kinds there may be. */
import { array, bool, empty, str, struct } from '../../qapi/types.ts';
import { type AnyCommand, defineCommand } from '../../qmp/command.ts';
import type { Chardevs } from './chardevs.ts';
import { chardevBackends } from './options.ts';

const chardevInfo = struct('ChardevInfo', { label: str, filename: str, 'frontend-open': bool });
const chardevBackendInfo = struct('ChardevBackendInfo', { name: str });

export function chardevQueries(chardevs: Chardevs): readonly AnyCommand[] {
  return [
    defineCommand({
      name: 'query-chardev',
      args: empty,
      returns: array(chardevInfo),
      run: () =>
        chardevs.list().map(({ id, filename, isUsed }) => ({ 'frontend-open': isUsed, filename, label: id })),
    }),
    defineCommand({
      name: 'query-chardev-backends',
      args: empty,
      returns: array(chardevBackendInfo),
      run: () => Object.keys(chardevBackends).map((name) => ({ name })),
    }),
  ];
}
