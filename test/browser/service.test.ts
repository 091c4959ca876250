/** How the worker's service ends: with everything closed, whatever it was about to open. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { drivers } from '../../host/drivers.ts';
import { startService } from '../../host/library/service.ts';
import { Blockyard } from '../../host/library/yard.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { loadFile } from '../../host/platform/node/load-file.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();

/** The platform of Node, with files that take several turns to open; `open` has those that are. */
function slowPlatform(open: Set<string>): Platform {
  const files = Object.create(nodePlatform.files) as Platform['files'];
  files.open = async (path, options) => {
    for (let turn = 0; turn < 10; turn++) await nodePlatform.clock.yield();
    const file = await nodePlatform.files.open(path, options);
    open.add(path);
    const close = file.close.bind(file);
    file.close = async () => {
      await close();
      open.delete(path);
    };
    return file;
  };
  return { ...nodePlatform, files };
}

test.each([
  ['an export', (yard: Blockyard, path: string) => yard.exportImage({ file: path })],
  ['a node', (yard: Blockyard, filename: string) => yard.add({ driver: 'file', filename, 'node-name': 'n' })],
])('a service that ends while %s is being opened leaves no file open', async (_what, begin) => {
  const path = scratch('image');
  writeFileSync(path, new Uint8Array(4096));
  for (let turns = 0; turns < 20; turns++) {
    const open = new Set<string>();
    const { port1, port2 } = new MessageChannel();
    await startService(port2, { emulatorFiles: { loadFile }, platform: slowPlatform(open), drivers });
    const yard = await Blockyard.connect(port1, { fileDriver: 'file', emulatorFiles: { loadFile } });
    const beginning = begin(yard, path).catch(() => {});
    for (let turn = 0; turn < turns; turn++) await nodePlatform.clock.yield();
    await yard.close();
    await beginning;
    for (let turn = 0; turn < 20; turn++) await nodePlatform.clock.yield();
    expect([...open]).toEqual([]);
  }
});
