/** Whole files of web servers, for what is not a disk. */
import { explainedFetch } from './fetch.ts';

/** Errors: an Error that names the URL and says why there is no such file. */
export async function loadFile(path: string): Promise<ArrayBuffer> {
  const url = new URL(path, location.href).href;
  const response = await explainedFetch(url).catch((error: Error) => {
    throw new Error(`${url}: ${error.message}`, { cause: error });
  });
  if (!response.ok) throw new Error(`the server answers ${response.status} to ${url}`);
  // Servers that have one page for all addresses have no other answer.
  if (response.headers.get('content-type')?.startsWith('text/html'))
    throw new Error(`the server has a web page at ${url}`);
  return response.arrayBuffer();
}
