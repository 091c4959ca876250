/**
 * Names of the bitmaps that backups into a repository go on from (specification: store, section 7), whoever makes the backup:
 *
 *   backup-REPOSITORY-UUID       started at the instant of a snapshot, which has its generation, the UUID. It stays until a later snapshot
 *                                has been made
 *   backup-REPOSITORY-UUID-end   beside it, at rest, with one bit at the end of the disk: a disk that was cut in the meantime has lost it,
 *                                however long it is now
 */

/** Of bitmaps with one bit at the end. No chunk of a disk is smaller, so that the last of these units is within the last chunk. */
export const endGranularity = 1 << 20;

const repositoryDigits = 16;

export function bitmapName(repository: string, generation: string): string {
  return `backup-${repository.slice(0, repositoryDigits)}-${generation}`;
}

export function endName(bitmap: string): string {
  return `${bitmap}-end`;
}

/** Of a bitmap that this repository's backups go on from. */
export function generationOf(name: string, repository: string): string | undefined {
  const start = bitmapName(repository, '');
  const generation = name.startsWith(start) ? name.slice(start.length) : '';
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(generation) ? generation : undefined;
}

/** Whether a bitmap is one of this repository's, of either kind. */
export function isOfRepository(name: string, repository: string): boolean {
  return name.startsWith(bitmapName(repository, ''));
}
