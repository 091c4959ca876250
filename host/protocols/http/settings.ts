/**
 * What the options of the `http` and `https` drivers come to.
 *
 * There are no secrets to name, no proxies but the host's own, and no connections with unverified certificates:
 * options that ask for those are refused.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import type { RequestOptions } from '../../http/requests.ts';
import type { Platform } from '../../platform/platform.ts';
import { checkScheme, type HttpOptions, type Scheme } from './options.ts';

export const defaultReadahead = 262_144;
export const defaultTimeoutSeconds = 5;
export const defaultRetrySeconds = 60;
const maxSeconds = 10_000;

export interface Settings {
  /** Without the user's name and password, which are in the headers. */
  url: string;
  readahead: number;
  requests: RequestOptions;
  prefetchUrl: string | undefined;
}

/** Errors: EINVAL for options that make no sense, ENOTSUP for those that are not honoured. */
export function settingsOf(scheme: Scheme, given: HttpOptions, { fetch }: Platform): Settings {
  const readahead = given.readahead ?? defaultReadahead;
  if (readahead % sectorBytes !== 0)
    throw invalid(`HTTP_READAHEAD_SIZE ${readahead} is not a multiple of ${sectorBytes}`);
  const timeoutSeconds = secondsOf('timeout', given.timeout ?? defaultTimeoutSeconds);
  const retrySeconds = secondsOf('x-retry', given['x-retry'] ?? defaultRetrySeconds);
  checkScheme(scheme, given.url);
  refuse(given);
  if (given.cookie !== undefined && fetch?.setsCookies !== true)
    throw new BlockError(
      'ENOTSUP',
      "Option 'cookie' cannot be used here: the host sends its own cookies only",
    );
  const { url, authorization } = withoutCredentials(given.url);
  const headers = {
    ...(authorization !== undefined && { authorization }),
    ...(given.cookie !== undefined && { cookie: given.cookie }),
  };
  const prefetch = given['x-prefetch'];
  return {
    url,
    readahead,
    requests: { timeoutSeconds, retrySeconds, headers },
    prefetchUrl: prefetch === undefined ? undefined : resolved(prefetch, url),
  };
}

function secondsOf(option: string, seconds: number): number {
  if (seconds >= 0 && seconds <= maxSeconds) return seconds;
  throw invalid(`${option} parameter is too large or negative`);
}

function refuse(given: HttpOptions): void {
  for (const name of ['password-secret', 'proxy-password-secret', 'cookie-secret'] as const) {
    const secret = given[name];
    if (secret !== undefined) throw invalid(`No secret with id '${secret}'`);
  }
  for (const name of ['username', 'proxy-username'] as const) {
    if (given[name] !== undefined)
      throw new BlockError(
        'ENOTSUP',
        `Option '${name}' is not supported: there are no secrets for passwords`,
      );
  }
  if (given.sslverify === false) throw new BlockError('ENOTSUP', "Option 'sslverify' can only be on");
}

/** Takes `user:password@` out of a URL, as fetch demands. */
function withoutCredentials(given: string): { url: string; authorization: string | undefined } {
  const url = parsed(given, undefined);
  if (url.username === '' && url.password === '') return { url: given, authorization: undefined };
  const text = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  url.username = '';
  url.password = '';
  return { url: url.href, authorization: `Basic ${btoa(bytes)}` };
}

function resolved(given: string, against: string): string {
  const url = parsed(given, against);
  if (!/^https?:$/.test(url.protocol)) throw invalid(`Option 'x-prefetch' cannot be '${given}'`);
  return url.href;
}

function parsed(given: string, against: string | undefined): URL {
  try {
    return new URL(given, against);
  } catch {
    throw invalid(`URL '${given}' is malformed`);
  }
}
