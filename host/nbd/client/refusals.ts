/** Options that a server refuses, as errors in QEMU's words: what it has said itself is in the hint. */
import { type BlockError, invalid } from '../../base/errors.ts';
import { OptionReply, optionName, replyName } from '../constants.ts';

/** Bytes of a server's own words that are told. */
const maxToldBytes = 4096;

const reasons = new Map<number, (option: string) => string>([
  [OptionReply.unsupported, (option) => `Unsupported option type ${option}`],
  [OptionReply.policy, (option) => `Denied by server for option ${option}`],
  [OptionReply.invalid, (option) => `Invalid parameters for option ${option}`],
  [OptionReply.platform, (option) => `Server lacks support for option ${option}`],
  [OptionReply.tlsRequired, (option) => `TLS negotiation required before option ${option}`],
  [OptionReply.unknown, () => 'Requested export not available'],
  [OptionReply.shutdown, (option) => `Server shutting down before option ${option}`],
  [OptionReply.blockSizeRequired, (option) => `Server requires INFO_BLOCK_SIZE for option ${option}`],
]);

/** `type` is an error. */
export function refusalOf(option: number, type: number, data: Uint8Array): BlockError {
  const described = `${option} (${optionName(option)})`;
  const reason = reasons.get(type) ?? ((which) => `Unknown error code when asking for option ${which}`);
  const hints: string[] = [];
  if (type === OptionReply.tlsRequired) hints.push('Did you forget a valid tls-creds?');
  const words = textOf(data);
  if (words !== '') hints.push(`server reported: ${words}`);
  return invalid(reason(described), hints.length > 0 ? hints.join('\n') : undefined);
}

/** It may have been meant for C. */
function textOf(data: Uint8Array): string {
  const end = data.indexOf(0);
  const text = data.subarray(0, end < 0 ? maxToldBytes : Math.min(end, maxToldBytes));
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(text);
}

/** An answer that this option does not have. */
export function unexpectedReply(option: number, type: number): BlockError {
  return invalid(
    `Server answered option ${option} (${optionName(option)}) with unexpected reply ${type} (${replyName(type)})`,
  );
}
