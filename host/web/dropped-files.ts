/**
 * Files that are dropped on the choice of a machine, several at once: each goes where its content says that it belongs. What
 * nothing is known of is a disk, the second one when there is a first.
 */

/** Names of the fields that take files. */
type FileField = 'file' | 'disk2-file' | 'cd-file' | 'floppy-file' | 'kernel-file' | 'initrd-file';

const floppyBytes: readonly number[] = [360, 720, 1200, 1440, 2880].map((kibibytes) => kibibytes * 1024);

async function textAt(file: File, offset: number, bytes: number): Promise<string> {
  return file.slice(offset, offset + bytes).text();
}

async function fieldOf(file: File): Promise<FileField> {
  // Linux' boot protocol; ISO 9660; the two ways in which initramfs begin, by the names that distributions give them.
  if ((await textAt(file, 0x202, 4)) === 'HdrS') return 'kernel-file';
  if ((await textAt(file, 0x8001, 5)) === 'CD001') return 'cd-file';
  if (floppyBytes.includes(file.size)) return 'floppy-file';
  const isArchive = (await textAt(file, 0, 6)) === '070701';
  return isArchive || /^(initrd|initramfs)/.test(file.name) ? 'initrd-file' : 'file';
}

/** Errors: two files of one kind. */
export async function sortFiles(files: readonly File[]): Promise<ReadonlyMap<FileField, File>> {
  const sorted = new Map<FileField, File>();
  for (const file of files) {
    const found = await fieldOf(file);
    const field = found === 'file' && sorted.has('file') ? 'disk2-file' : found;
    const other = sorted.get(field);
    if (other) throw new Error(`There is room for one of ${other.name} and ${file.name}: drop one of them.`);
    sorted.set(field, file);
  }
  return sorted;
}

/** As if somebody had chosen the files in the form. Without a disk among them it is an empty one. */
export function putIntoForm(form: HTMLFormElement, files: ReadonlyMap<FileField, File>): void {
  for (const [name, file] of files) {
    const input = form.elements.namedItem(name) as HTMLInputElement;
    const transfer = new DataTransfer();
    transfer.items.add(file);
    input.files = transfer.files;
    const more = input.closest('details');
    if (more) more.open = true;
  }
  const source = files.has('file') ? 'file' : 'none';
  const radio = form.querySelector<HTMLInputElement>(`input[name=source][value=${source}]`);
  if (radio && !radio.disabled) radio.checked = true;
}
