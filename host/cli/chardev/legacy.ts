/**
 * The older way to name a character device: `stdio`, `unix:PATH,server=on,wait=off`, `tcp:HOST:PORT,…`, `pipe:PATH`,
 * `file:PATH`, `null` (QEMU's `-qmp`, `-monitor`, `-serial`, `-qtest`).
 *
 * What follows a socket's address are options of `-chardev`, whose older spellings are taken without a word. The address may be one
 * of them (`unix:path=PATH,…`). A name of a file or a pipe is all that follows the colon, commas and all.
 */

/** The same as an option string of `-chardev`, without an id; or what it is instead. */
type ChardevName =
  | { readonly text: string }
  /** No such thing, or one that is not written like this. */
  | { readonly problem: 'unknown' | 'malformed' };

const words = ['null', 'pty', 'stdio', 'vc', 'msmouse', 'braille', 'testdev'];
const streams = ['tcp', 'telnet', 'tn3270', 'websocket'];

export function readChardevName(name: string): ChardevName {
  if (words.includes(name)) return { text: name };
  const [, kind = '', rest = ''] = /^([a-z0-9]+):(.*)$/s.exec(name) ?? [];
  if (kind === 'unix') {
    const isNamed = /^[^,]*=/.test(rest);
    return { text: rest === '' ? 'socket' : `socket,${isNamed ? '' : 'path='}${rest}` };
  }
  if (streams.includes(kind)) {
    const [, host, port, options = ''] = /^([^:]*):([^,]+)((?:,.*)?)$/s.exec(rest) ?? [];
    if (host === undefined) return { problem: 'malformed' };
    const protocol = kind === 'tcp' ? '' : `,${kind}=on`;
    return { text: `socket,host=${host},port=${port}${protocol}${options}` };
  }
  if (kind === 'file' || kind === 'pipe') return { text: `${kind},path=${rest.replaceAll(',', ',,')}` };
  return { problem: 'unknown' };
}
