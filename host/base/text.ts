/** Names in images, which are bytes that mostly are UTF-8. */

/** What is not UTF-8 shows as replacement characters; a byte order mark is a character like any other. */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** The same of what is in front of the first NUL, if there is one. */
export function decodeCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decodeText(end < 0 ? bytes : bytes.subarray(0, end));
}
