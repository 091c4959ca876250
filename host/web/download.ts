/** Files that leave the page: a large one straight into a file that the user chooses, where the browser can do that. */

const largeDownloadBytes = 256 << 20;
/** By then the browser has taken hold of it. */
const holdMs = 60_000;

interface FilePicker {
  showSaveFilePicker?(options: { suggestedName: string }): Promise<FileSystemFileHandle>;
}

/** `bytes`: the length of the stream; `name`: what is suggested. Errors: those of the stream; AbortError: nobody chose. */
export async function download(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  bytes: number,
  name: string,
): Promise<void> {
  const { showSaveFilePicker } = globalThis as FilePicker;
  if (bytes > largeDownloadBytes && showSaveFilePicker) {
    const handle = await showSaveFilePicker.call(globalThis, { suggestedName: name });
    return stream.pipeTo(await handle.createWritable());
  }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await new Response(stream).blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), holdMs);
  return undefined;
}
