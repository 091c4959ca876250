/** What users may call things: nodes, devices, jobs, objects, and the lists of QemuOpts. */

export const identifierHint =
  "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.";

export function isIdentifier(text: string): boolean {
  return /^[A-Za-z][A-Za-z0-9\-._]*$/.test(text);
}
