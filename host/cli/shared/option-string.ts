/**
 * Option strings: `driver=raw,file.filename=a,,b.img`. Commas separate, two of them stand for one.
 */

export interface OptionPair {
  name: string;
  /** Undefined for a bare name. */
  value: string | undefined;
}

export function splitOptionString(text: string): OptionPair[] {
  return splitAtCommas(text).map((item) => {
    const equals = item.indexOf('=');
    if (equals < 0) return { name: item, value: undefined };
    return { name: item.slice(0, equals), value: item.slice(equals + 1) };
  });
}

function splitAtCommas(text: string): string[] {
  const items: string[] = [];
  let item = '';
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== ',') {
      item += text[at];
    } else if (text[at + 1] === ',') {
      item += ',';
      at++;
    } else {
      items.push(item);
      item = '';
    }
  }
  if (item !== '' || items.length === 0) items.push(item);
  return items;
}
