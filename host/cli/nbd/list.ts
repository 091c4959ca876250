/** What `nbd -L` prints: everything that a server tells of its exports (specification: nbd, section 6). */

import type { ListedExport } from '../../nbd/client/remote-export.ts';
import { TransmissionFlag } from '../../nbd/constants.ts';
import type { SocketAddress, Sockets } from '../../platform/sockets.ts';
import type { Secure } from '../../platform/tls.ts';
import { NbdSession } from '../../protocols/nbd/session.ts';

/** As QEMU calls them. */
const flagNames: readonly (readonly [flag: number, name: string])[] = [
  [TransmissionFlag.readOnly, 'readonly'],
  [TransmissionFlag.sendFlush, 'flush'],
  [TransmissionFlag.sendFua, 'fua'],
  [TransmissionFlag.rotational, 'rotational'],
  [TransmissionFlag.sendTrim, 'trim'],
  [TransmissionFlag.sendWriteZeroes, 'zeroes'],
  [TransmissionFlag.sendDf, 'df'],
  [TransmissionFlag.canMultiConn, 'multi'],
  [TransmissionFlag.sendResize, 'resize'],
  [TransmissionFlag.sendCache, 'cache'],
  [TransmissionFlag.sendFastZero, 'fast-zero'],
  [TransmissionFlag.blockStatusPayload, 'block-status-payload'],
];

/** Errors: BlockError, in QEMU's words. */
export async function listExports(
  sockets: Sockets,
  address: SocketAddress,
  secure: Secure | undefined,
): Promise<string> {
  const purpose = { type: 'list', usesTls: secure !== undefined } as const;
  const session = new NbdSession(await sockets.connect(address), purpose, secure);
  const { exports, isExtended } = await session.list();
  const lines = [`exports available: ${exports.length}`];
  for (const one of exports) lines.push(...describe(one, isExtended));
  return lines.map((line) => `${line}\n`).join('');
}

function describe(one: ListedExport, isExtended: boolean): string[] {
  const { name, description, size, flags, blockSizes, contexts } = one;
  const lines = [` export: '${name}'`];
  if (description !== '') lines.push(`  description: ${description}`);
  if ((flags & TransmissionFlag.hasFlags) !== 0) {
    const words = flagNames.filter(([flag]) => (flags & flag) !== 0).map(([, word]) => ` ${word}`);
    lines.push(`  size:  ${size}`, `  flags: 0x${flags.toString(16)} (${words.join('')} )`);
  }
  if (blockSizes) {
    lines.push(`  min block: ${blockSizes.minimum}`, `  opt block: ${blockSizes.preferred}`);
    lines.push(`  max block: ${blockSizes.maximum}`);
  }
  lines.push(`  transaction size: ${isExtended ? '64' : '32'}-bit`);
  if (contexts.length > 0) lines.push(`  available meta contexts: ${contexts.length}`);
  for (const context of contexts) lines.push(`   ${context}`);
  return lines;
}
