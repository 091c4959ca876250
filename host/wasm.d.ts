/** The bundler and the test runner both turn an imported module into its bytes. */
declare module '*.wasm' {
  const bytes: Uint8Array<ArrayBuffer>;
  export default bytes;
}

declare module '*.bin' {
  const bytes: Uint8Array<ArrayBuffer>;
  export default bytes;
}

/** A part of the worker of pages, as a text (build/browser.mjs). */
declare module 'blockyard:*' {
  const text: string;
  export default text;
}
