/**
 * Options of the `http` and `https` drivers (specification: graph, section 3), and what they come to.
 *
 * There are no secrets to name, no proxies but the host's own, and no connections with unverified certificates:
 * options that ask for those are refused. `x-prefetch` is our own.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import type { Platform } from '../../platform/platform.ts';
import {
  bool,
  extend,
  int,
  optional,
  type StructType,
  size,
  str,
  struct,
  type TypeOf,
  worded,
} from '../../qapi/types.ts';
import type { ClientOptions } from './client.ts';

const base = struct('BlockdevOptionsCurlBase', {
  url: worded(str, { missing: "curl block driver requires an 'url' option" }),
  /** Bytes fetched beyond what is read by somebody who reads on; a multiple of 512. Grows while that goes on. */
  readahead: optional(size),
  /** Seconds that a request may take; 0 is no limit. */
  timeout: optional(int),
  username: optional(str),
  'password-secret': optional(str),
  'proxy-username': optional(str),
  'proxy-password-secret': optional(str),
});
const cookies = struct('BlockdevOptionsCurlCookies', {
  /** The value of the `Cookie` header. */
  cookie: optional(str),
  'cookie-secret': optional(str),
});
const own = struct('BlockdevOptionsCurlOwn', {
  /** URL of a prefetch list, relative to that of the image. */
  'x-prefetch': optional(str),
});
const tls = struct('BlockdevOptionsCurlTls', { sslverify: optional(bool) });

const plain = extend('BlockdevOptionsCurlHttp', extend('', base, cookies), own);
const secure = extend('BlockdevOptionsCurlHttps', extend('', extend('', base, cookies), tls), own);

export type HttpOptions = TypeOf<typeof base> &
  TypeOf<typeof cookies> &
  TypeOf<typeof tls> &
  TypeOf<typeof own>;

export type Scheme = 'http' | 'https';

export const optionsOf: Readonly<Record<Scheme, StructType<HttpOptions>>> = { http: plain, https: secure };

/** Those that change what is seen. */
export const strongOptions = [
  'url',
  'sslverify',
  'cookie',
  'cookie-secret',
  'username',
  'password-secret',
  'proxy-username',
  'proxy-password-secret',
];

const defaultReadahead = 262_144;
const defaultTimeoutSeconds = 5;
const maxTimeoutSeconds = 10_000;

export function checkScheme(scheme: Scheme, url: string): void {
  if (!url.startsWith(`${scheme}://`)) {
    throw invalid(
      `${scheme} curl driver cannot handle the URL '${url}' (does not start with '${scheme}://')`,
    );
  }
}

interface Settings {
  /** Without the user's name and password, which are in the headers. */
  url: string;
  readahead: number;
  client: ClientOptions;
  prefetchUrl: string | undefined;
}

/** Errors: EINVAL for options that make no sense, ENOTSUP for those that are not honoured. */
export function settingsOf(scheme: Scheme, given: HttpOptions, { fetch }: Platform): Settings {
  const readahead = given.readahead ?? defaultReadahead;
  if (readahead % sectorBytes !== 0)
    throw invalid(`HTTP_READAHEAD_SIZE ${readahead} is not a multiple of ${sectorBytes}`);
  const timeoutSeconds = given.timeout ?? defaultTimeoutSeconds;
  if (!(timeoutSeconds >= 0 && timeoutSeconds <= maxTimeoutSeconds))
    throw invalid('timeout parameter is too large or negative');
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
    client: { timeoutSeconds, headers },
    prefetchUrl: prefetch === undefined ? undefined : resolved(prefetch, url),
  };
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
