/** What clients are told they talk to: the QEMU whose behaviour is kept, and who keeps it. */
import { version } from '../../package.json';

export const versionInfo = {
  qemu: { major: 7, minor: 2, micro: 22 },
  package: `blockyard ${version}`,
};
