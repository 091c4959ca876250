/**
 * A guest that never stops turning: it reads the first sector of the first IDE disk, counts the number in its first four
 * bytes up, writes the sector back and also, to show what was written when, to one of the 64 that follow. After every
 * round it sends a dot to the serial port. Everything goes by programmed I/O, with interrupts off.
 *
 * A multiboot kernel: v86 enters it without any firmware.
 */
import { AssemblyState } from '@defasm/core';

const loadAddress = 0x100000;
const headerBytes = 32;

const source = `
  cli
  cld
  mov esp, 0x190000
round:
  mov ebx, 0
  mov ecx, 0x20
  call command
  mov edi, 0x180000
  mov ecx, 256
  mov edx, 0x1f0
  rep insw
  mov edi, 0x180000
  mov eax, [edi]
  add eax, 1
  mov [edi], eax
  mov ebx, 0
  call store
  mov edi, 0x180000
  mov ebx, [edi]
  and ebx, 63
  add ebx, 1
  call store
  mov edx, 0x3f8
  mov eax, 46
  out dx, al
  jmp round

store:
  mov ecx, 0x30
  call command
  mov esi, 0x180000
  mov ecx, 256
  mov edx, 0x1f0
  rep outsw
  mov edx, 0x1f7
busy:
  in al, dx
  test al, 0x80
  jnz busy
  ret

command:
  mov edx, 0x1f6
  mov eax, 0xe0
  out dx, al
  mov edx, 0x1f2
  mov eax, 1
  out dx, al
  mov edx, 0x1f3
  mov eax, ebx
  out dx, al
  mov edx, 0x1f4
  mov eax, 0
  out dx, al
  mov edx, 0x1f5
  out dx, al
  mov edx, 0x1f7
  mov eax, ecx
  out dx, al
data:
  in al, dx
  test al, 0x80
  jnz data
  test al, 8
  jz data
  ret
`;

/** The kernel, for v86's option `multiboot`. */
export function sectorMill(): ArrayBuffer {
  const assembly = new AssemblyState({ syntax: { intel: true, prefix: false }, bitness: 32 });
  assembly.compile(source);
  const wrong = assembly.errors.map(({ message }) => message);
  if (wrong.length > 0) throw new Error(`the guest does not assemble: ${wrong.join(', ')}`);
  const code = assembly.head.dump();
  const kernel = new Uint8Array(headerBytes + code.length);
  const header = new DataView(kernel.buffer);
  const magic = 0x1badb002;
  const addressesAreGiven = 0x10000;
  const fields = [magic, addressesAreGiven, -(magic + addressesAreGiven), loadAddress, loadAddress, 0, 0];
  for (const [i, field] of [...fields, loadAddress + headerBytes].entries()) {
    header.setUint32(i * 4, field, true);
  }
  kernel.set(code, headerBytes);
  return kernel.buffer;
}
