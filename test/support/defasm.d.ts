/** As much of the assembler as tests use; the package has no types. */
declare module '@defasm/core' {
  export class AssemblyState {
    constructor(options: { syntax: { intel: boolean; prefix: boolean }; bitness: 32 | 64 });
    readonly errors: readonly { readonly message: string }[];
    readonly head: { dump(): Uint8Array };
    compile(source: string): void;
  }
}
