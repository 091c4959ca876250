/** What users may call things: nodes, devices, jobs, objects, and the lists of QemuOpts. */

import { invalid } from '../base/errors.ts';

export const identifierHint =
  "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.";

export function isIdentifier(text: string): boolean {
  return /^[A-Za-z][A-Za-z0-9\-._]*$/.test(text);
}

/** Throws unless it may be the id of something. */
export function checkIdentifier(id: string): void {
  if (!isIdentifier(id)) throw invalid("Parameter 'id' expects an identifier", identifierHint);
}
