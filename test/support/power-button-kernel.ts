/**
 * A multiboot kernel that waits for the interrupt of the power button, as ACPI has it, and then switches the machine off. On the
 * serial port it says R when it is ready, and P when the button was pressed. The registers of the chipset are where v86 has
 * them, or where SeaBIOS puts them: it uses both.
 */
import { AssemblyState } from '@defasm/core';

const loadAddress = 0x100000;
const headerBytes = 32;
/** Where the parts are, from the load address. */
const [gdtAt, gdtrAt, idtrAt, handlerAt, idtAt] = [0x400, 0x500, 0x508, 0x600, 0x800];
const imageBytes = 0xa00;
/** Of the 9th interrupt, as the controllers are told. */
const vector = 0x29;

const start = `
  cli
  mov esp, 0x190000
  lgdt [${loadAddress + gdtrAt}]
  lidt [${loadAddress + idtrAt}]
  mov eax, 0x10
  mov ds, eax
  mov ss, eax
  ${[
    [0x20, 0x11],
    [0xa0, 0x11],
    [0x21, 0x20],
    [0xa1, 0x28],
    [0x21, 4],
    [0xa1, 2],
    [0x21, 1],
    [0xa1, 1],
    [0x21, 0xfb],
    [0xa1, 0xfd],
  ]
    .map(([port, value]) => `mov edx, ${port}\n  mov eax, ${value}\n  out dx, al\n`)
    .join('  ')}
  mov edx, 0x602
  call enable
  mov edx, 0xb002
  call enable
  mov edx, 0x3f8
  mov eax, 82
  out dx, al
  sti
stand:
  hlt
  jmp stand

enable:
  mov eax, 0x100
  out dx, ax
  add edx, 2
  in ax, dx
  or eax, 1
  and eax, 0xffffdfff
  out dx, ax
  ret
`;

const handler = `
  mov edx, 0x3f8
  mov eax, 80
  out dx, al
  mov eax, 0x2000
  mov edx, 0x604
  out dx, ax
  mov edx, 0xb004
  out dx, ax
ended:
  hlt
  jmp ended
`;

export function powerButtonKernel(): Uint8Array {
  const image = new Uint8Array(imageBytes);
  const view = new DataView(image.buffer);
  const [magic, addressesAreGiven] = [0x1badb002, 0x10000];
  const fields = [magic, addressesAreGiven, -(magic + addressesAreGiven), loadAddress, loadAddress, 0, 0];
  for (const [i, field] of [...fields, loadAddress + headerBytes].entries()) {
    view.setUint32(i * 4, field, true);
  }
  image.set(assembled(start), headerBytes);
  // Code and data of all memory.
  view.setBigUint64(gdtAt + 8, 0x00cf9a000000ffffn, true);
  view.setBigUint64(gdtAt + 16, 0x00cf92000000ffffn, true);
  for (const [at, table, bytes] of [
    [gdtrAt, gdtAt, 24],
    [idtrAt, idtAt, 8 * (vector + 1)],
  ] as const) {
    view.setUint16(at, bytes - 1, true);
    view.setUint32(at + 2, loadAddress + table, true);
  }
  image.set(assembled(handler), handlerAt);
  const gate = idtAt + 8 * vector;
  view.setUint16(gate, (loadAddress + handlerAt) & 0xffff, true);
  view.setUint16(gate + 2, 8, true);
  view.setUint16(gate + 4, 0x8e00, true);
  view.setUint16(gate + 6, (loadAddress + handlerAt) >>> 16, true);
  return image;
}

function assembled(source: string): Uint8Array {
  const assembly = new AssemblyState({ syntax: { intel: true, prefix: false }, bitness: 32 });
  assembly.compile(source);
  const wrong = assembly.errors.map(({ message }) => message);
  if (wrong.length > 0) throw new Error(`the guest does not assemble: ${wrong.join(', ')}`);
  return assembly.head.dump();
}
