/** The rooms that READMEs draw are the folders there are, and the other way round. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { examples, exists, foldersIn, host, isFolder, read } from './sources.ts';

/** A line of the tree in host/README.md: names, two spaces, what is in there. */
interface Room {
  names: string[];
  /** Folders inside that the description names. */
  inner: string[];
}

function roomsOf(tree: string): Room[] {
  return tree
    .split('\n')
    .slice(1, -1)
    .map((line) => {
      const names = /^(?:[\w.-]+\/?(?: {2}|$))+/.exec(line)![0];
      const inner = line.slice(names.length).match(/[\w-]+\/(?![\w-])/g) ?? [];
      return { names: names.trim().split(/\s+/), inner };
    });
}

test('the tree of host/ shows every folder, and nothing else', () => {
  const rooms = roomsOf(read('host/README.md').match(examples)![0]!);
  const names = rooms.flatMap((room) => room.names);
  expect(names.filter((name) => !exists(join('host', name)))).toEqual([]);
  const folders = foldersIn('host').map((name) => `${name}/`);
  expect(names.filter((name) => name.endsWith('/')).sort()).toEqual(folders.sort());
});

test('rooms within rooms are there', () => {
  const rooms = roomsOf(read('host/README.md').match(examples)![0]!);
  const wrong = rooms.flatMap(({ names, inner }) =>
    inner.filter((folder) => !names.some((name) => isFolder(join('host', name, folder)))),
  );
  expect(wrong).toEqual([]);
  expect(rooms.flatMap(({ inner }) => inner)).toContain('commands/');
});

test('the table of assembly/ has every folder, and nothing else', () => {
  const cells = [...read('assembly/README.md').matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name!);
  const folders = cells.filter((name) => name.includes('/')).map((name) => name.replace(/\/.*/, ''));
  expect([...new Set(folders)].sort()).toEqual(foldersIn('assembly').sort());
});

test('the page of qcow2 has a line for every file', () => {
  const folder = 'host/formats/qcow2/';
  const page = read(join(folder, 'README.md'));
  const files = host.map(({ path }) => path).filter((path) => path.startsWith(folder));
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((path) => !page.includes(`](${path.slice(folder.length)})`))).toEqual([]);
});
