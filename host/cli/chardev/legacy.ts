/**
 * The older way to name a character device: `stdio`, `unix:PATH,server=on,wait=off`, `tcp:HOST:PORT,…`, `pipe:PATH`,
 * `file:PATH`, `null` (QEMU's `-qmp`, `-monitor`, `-serial`).
 */

/** The same as an option string of `-chardev`, without an id. Undefined: no such thing. */
export function chardevOptionsFrom(name: string): string | undefined {
  if (/^(stdio|null|pty)(,|$)/.test(name)) return name;
  const [, kind, rest] = /^([a-z]+):(.*)$/s.exec(name) ?? [];
  if (kind === undefined || rest === undefined) return undefined;
  const [first, ...options] = splitFirst(rest);
  switch (kind) {
    case 'unix':
      return ['socket', `path=${first}`, ...options].join(',');
    case 'tcp': {
      const colon = first.lastIndexOf(':');
      if (colon < 0) return undefined;
      return ['socket', `host=${first.slice(0, colon)}`, `port=${first.slice(colon + 1)}`, ...options].join(
        ',',
      );
    }
    case 'file':
    case 'pipe':
      return `${kind},path=${rest.replaceAll(',', ',,')}`;
    default:
      return undefined;
  }
}

/** The address, and the options after it if any. */
function splitFirst(text: string): [string, ...string[]] {
  const comma = text.indexOf(',');
  return comma < 0 ? [text] : [text.slice(0, comma), text.slice(comma + 1)];
}
