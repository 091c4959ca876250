/** All types of user objects, for programs of a host: those that a page has, and those that are about files and TLS. */
import { authzList, authzSimple } from './authorization.ts';
import type { AnyObjectType } from './object-type.ts';
import { secret } from './secret.ts';
import { tlsCredsAnon, tlsCredsPsk, tlsCredsX509 } from './tls-credentials.ts';
import { objectTypes } from './types.ts';

export const hostObjectTypes: readonly AnyObjectType[] = [
  ...objectTypes,
  secret,
  authzSimple,
  authzList,
  tlsCredsAnon,
  tlsCredsPsk,
  tlsCredsX509,
];
