/** What v86 needs before it can start: where it comes from, and what is said when it cannot be had. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { guestKernel } from '../../host/emulator/guest/index.ts';
import { loadFiles } from '../../host/emulator/v86/files.ts';
import { openBlockyard } from '../../host/library/node.ts';
import { findFirmware, findFirmwareFile } from '../../host/platform/node/firmware.ts';
import { loadFile } from '../../host/platform/node/load-file.ts';
import { LoopbackServer } from '../support/loopback-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { installedV86 } from '../support/v86.ts';

const scratch = scratchDirectory();
const bytes = Uint8Array.of(1, 2, 3);
const path = scratch('bios');
writeFileSync(path, bytes);

async function loaded(bios: unknown): Promise<unknown> {
  const { bios: found } = await loadFiles({ bios }, { loadFile });
  return [...new Uint8Array((found as { buffer: ArrayBuffer }).buffer)];
}

describe('the files that v86 starts with', () => {
  test.each([
    ['a path', path],
    ['an address', pathToFileURL(path)],
    ["v86's own form with an address", { url: path }],
    ["v86's own form with bytes", { buffer: bytes.slice().buffer }],
    ["v86's own form with a Blob", { buffer: new Blob([bytes]) }],
    ['a Blob', new Blob([bytes])],
    ['bytes', bytes.slice().buffer],
    ['a part of other bytes', Uint8Array.of(0, 1, 2, 3, 4).subarray(1, 4)],
  ])('may be given as %s', async (_form, given) => {
    expect(await loaded(given)).toEqual([1, 2, 3]);
  });

  test('leave the options as they were', async () => {
    const options = { bios: { url: path }, hda: {}, memory_size: 1 };
    const { hda, memory_size } = await loadFiles(options, { loadFile });
    expect([hda, memory_size]).toEqual([options.hda, 1]);
    expect(options.bios).toEqual({ url: path });
  });

  test('are named when they cannot be had', async () => {
    await expect(loaded(scratch('absent'))).rejects.toThrow(
      `v86 cannot start without its 'bios': ENOENT: no such file or directory, open '${scratch('absent')}'`,
    );
    const server = new (class extends LoopbackServer {
      protected answer: LoopbackServer['answer'] = (_request, response) => void response.writeHead(503).end();
    })();
    const url = `${await server.start()}/bios`;
    await expect(loaded({ url })).rejects.toThrow(`the server answers 503 to ${url}`);
    await server.stop();
    await expect(loaded({ url })).rejects.toThrow(`${url}: connect ECONNREFUSED`);
  });

  test('are firmware, unless there is a kernel or a state', async () => {
    await expect(loadFiles({}, { loadFile })).rejects.toThrow('v86 needs firmware, and its package has none');
    await expect(loadFiles({ bzimage: path }, { loadFile })).rejects.toThrow('v86 needs firmware');
    for (const name of ['multiboot', 'initial_state']) {
      expect(Object.keys(await loadFiles({ [name]: path }, { loadFile }))).toEqual([name]);
    }
    const findFirmware = async () => ({ bios: bytes.slice().buffer });
    expect(Object.keys(await loadFiles({}, { loadFile, findFirmware }))).toEqual(['bios']);
  });
});

describe('firmware on Node', () => {
  test('is looked for beside what was named first', () => {
    const folder = scratch('firmware');
    mkdirSync(folder);
    writeFileSync(`${folder}/bios.bin`, '');
    expect(findFirmwareFile('bios.bin', [folder])).toBe(`${folder}/bios.bin`);
    expect(findFirmwareFile('nobody-has-this.bin', [folder])).toBeUndefined();
  });

  test.skipIf(!existsSync('/usr/share/seabios/bios.bin'))('is found where Debian has it', async () => {
    expect(findFirmwareFile('bios.bin')).toBe('/usr/share/seabios/bios.bin');
    expect((await findFirmware())!.bios.byteLength % 65536).toBe(0); // it is there
  });
});

test.skipIf(!installedV86)('yard.start rejects on Node when a file is missing', async () => {
  const { V86, options } = installedV86!; // else skipped
  const yard = await openBlockyard();
  const start = (given: object) => yard.start(V86, { ...options, ...given });
  await expect(start({ bios: scratch('absent') })).rejects.toThrow(
    "v86 cannot start without its 'bios': ENOENT",
  );
  await expect(start({ bios: path, wasm_path: scratch('v86.wasm') })).rejects.toThrow(
    "v86 cannot start without its 'wasm_path': ENOENT",
  );
  await yard.close();
});

test.skipIf(!installedV86)('yard.start goes on from a state, and rejects what is none', async () => {
  const { V86, options } = installedV86!; // else skipped
  const yard = await openBlockyard();
  // Without a first disk v86 restores no state.
  await yard.add({ driver: 'null-co', 'node-name': 'hda', 'read-zeroes': true, size: 1 << 20 });
  const hda = await yard.disk({ node: 'hda' });
  const own = { ...options, memory_size: 4 << 20, multiboot: guestKernel(), hda };
  const saved = await yard.start(V86, own);
  await yard.qmp('stop');
  const state = new Uint8Array(await saved.save_state());
  await yard.detach();
  await saved.destroy();
  const { multiboot: _, ...others } = own;
  const start = (initial_state: Uint8Array) => yard.start(V86, { ...others, initial_state });

  const words = "v86 cannot start from its 'initial_state', which is damaged or of another version: ";
  const damaged = state.slice().fill(0x20, 16, 1000);
  await expect(start(damaged)).rejects.toThrow(words);
  await expect(start(state.slice(0, 5000))).rejects.toThrow(`${words}Length doesn't match header`);
  await expect(start(new Uint8Array(0))).rejects.toThrow(words);
  await expect(start(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0))).rejects.toThrow(words);

  const restored = await start(state);
  expect(restored.is_running()).toBe(false);
  await yard.detach();
  await restored.destroy();
  await yard.close();
});
