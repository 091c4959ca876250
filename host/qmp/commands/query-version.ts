/** query-version: as in the greeting. */
import { empty, int, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { versionInfo } from '../version.ts';

export const queryVersion = defineCommand({
  name: 'query-version',
  args: empty,
  returns: struct('VersionInfo', {
    qemu: struct('VersionTriple', { major: int, minor: int, micro: int }),
    package: str,
  }),
  run: () => versionInfo,
});
