/** What clients are told they talk to: the QEMU whose behaviour is kept, and who keeps it. */
import { version } from '../../package.json';

export const versionInfo = {
  qemu: { major: 10, minor: 0, micro: 2 },
  package: `blockyard ${version}`,
};

const { major, minor, micro } = versionInfo.qemu;

/** As the tools show it, and programs that start them look at it: `10.0.2 (blockyard 1.2.3)`. */
export const versionText = `${major}.${minor}.${micro} (${versionInfo.package})`;
