/** HTTP requests with Node's own fetch. Connections are kept open for a few seconds, and used again. */
import type { Fetch, FetchRequest, FetchResponse } from '../platform.ts';

async function respond(url: string, request: FetchRequest): Promise<FetchResponse> {
  try {
    return await fetch(url, request as RequestInit);
  } catch (error) {
    // Node only says `fetch failed`; why, says what is behind it.
    throw error instanceof Error && error.cause instanceof Error ? error.cause : error;
  }
}

export const nodeFetch: Fetch = Object.assign(respond, { setsCookies: true as const });
