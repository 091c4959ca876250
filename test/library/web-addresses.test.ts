/** Which driver the library opens an address with. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { openBlockyard } from '../../host/library/node.ts';
import { withDriversOfAddresses } from '../../host/library/web-addresses.ts';

test('the address picks between http and https, in every node that is declared', () => {
  const options = {
    driver: 'quorum',
    children: [
      { driver: 'http', url: 'https://server/a' },
      { driver: 'raw', file: { driver: 'https', url: 'HTTP://server/b', timeout: 3 } },
    ],
    'read-pattern': 'fifo',
  };
  expect(withDriversOfAddresses(options)).toEqual({
    driver: 'quorum',
    children: [
      { driver: 'https', url: 'https://server/a' },
      { driver: 'raw', file: { driver: 'http', url: 'HTTP://server/b', timeout: 3 } },
    ],
    'read-pattern': 'fifo',
  });
});

test.each([
  { driver: 'http', url: 'ftp://server/a' },
  { driver: 'https', url: '/a' },
  { driver: 'http', url: null },
  { driver: 'opfs', url: 'https://server/a' },
  { url: 'https://server/a' },
])('%j stays as it is', (options) => {
  expect(withDriversOfAddresses(options)).toEqual(options);
});

test('add takes either driver where the monitor takes one', async () => {
  const server = createServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`;
  const yard = await openBlockyard();
  const options = { driver: 'https', 'node-name': 'x', url, 'read-only': true };
  await expect(yard.add(options)).rejects.toThrow('404');
  await expect(yard.qmp('blockdev-add', options)).rejects.toThrow(
    `https curl driver cannot handle the URL '${url}' (does not start with 'https://')`,
  );
  await yard.close();
  server.close();
});
