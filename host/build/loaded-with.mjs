// What is loaded with a module, as rolldown knows it: for groups of modules that become one file.

/** The modules `entries`, what they import, and what these import, but for what is in no bundle. `import()` does not count. */
export function loadedWith(entries, moduleInfo) {
  const found = new Set(entries);
  for (const id of found) {
    const info = moduleInfo(id);
    if (!info || info.isExternal) found.delete(id);
    else for (const imported of info.importedIds) found.add(imported);
  }
  return found;
}
