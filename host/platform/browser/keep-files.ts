/**
 * Asks the browser to keep this origin's files when the disk gets full. False: it may delete them then. It may ask the
 * user first. Only pages can ask, workers cannot. False, too, where the browser keeps no files for the page at all.
 */
export async function keepFiles(): Promise<boolean> {
  const { storage } = navigator;
  if (!storage?.persist) return false;
  return (await storage.persisted()) || storage.persist();
}
