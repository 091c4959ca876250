/** A port and a monitor on one terminal: who gets what is typed, and what Ctrl-A does. */
import { beforeEach, expect, test } from 'vitest';
import { Mux } from '../../host/cli/chardev/mux.ts';
import type { Connection } from '../../host/platform/connection.ts';
import { joinedConnections } from '../../host/platform/joined-connections.ts';

let shown: string;
let log: string[];
let type: (text: string) => Promise<void>;
let port: Connection;
let timeNs: number;

/** An end of the terminal that says what it gets. */
function listen(name: string, connection: Connection): void {
  connection.start({
    data: (bytes) => log.push(`${name}: ${Buffer.from(bytes).toString('latin1')}`),
    drained: () => {},
    ended: () => log.push(`${name} ended`),
    closed: () => log.push(`${name} closed`),
  });
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  shown = '';
  log = [];
  timeNs = 0;
  const [person, terminal] = joinedConnections();
  person.start({
    data: (bytes) => {
      shown += Buffer.from(bytes).toString('latin1');
    },
    drained: () => {},
    ended: () => {},
    closed: () => {},
  });
  type = async (text) => {
    person.write(Buffer.from(text, 'latin1'));
    await settle();
  };
  new Mux(terminal, {
    connectPort: (connection) => {
      port = connection;
      listen('port', connection);
    },
    connectMonitor: (connection) => {
      log.push('monitor begins');
      listen('monitor', connection);
      return { takeTurn: () => log.push('monitor again'), leaveTurn: () => log.push('monitor leaves') };
    },
    sendBreak: () => {
      log.push('break');
      return 'no break';
    },
    commitAll: () => log.push('commit'),
    end: () => log.push('end'),
    nowNs: () => timeNs,
  }).start();
});

test('what is typed goes to the one whose turn it is', async () => {
  await type('ab');
  await type('c\x01cde\x01cf\x01cg');
  expect(log).toEqual([
    'port: ab',
    'port: c',
    'monitor begins',
    'monitor: de',
    'monitor leaves',
    'port: f',
    'monitor again',
    'monitor: g',
  ]);
});

test('Ctrl-A is typed by typing it twice, and may be cut from its letter', async () => {
  await type('\x01');
  await type('\x01');
  await type('x\x01');
  await type('x');
  expect(log).toEqual(['port: \x01', 'port: x', 'end']);
  expect(shown).toBe('QEMU: Terminated\n\r');
});

test('the letters do what the help says, and others nothing', async () => {
  await type('\x01h');
  expect(shown).toMatch(/^\n\rC-a h {4}print this help\n\r(C-a .*\n\r){5}C-a C-a {2}sends C-a\n\r$/);
  shown = '';
  await type('\x01s\x01b\x01q\x01z');
  expect(log).toEqual(['commit', 'break']);
  expect(shown).toBe('\n\rno break\n\r');
});

test('the time stands in front of each line while that is wanted', async () => {
  timeNs = 5e9;
  await type('\x01t');
  timeNs = 66_001_500_000 + 5e9;
  port.write(Buffer.from('a\nb'));
  port.write(Buffer.from('c\n'));
  await settle();
  expect(shown).toBe('[00:01:06.001] a\n[00:01:06.001] bc\n');
  await type('\x01t');
  port.write(Buffer.from('d\n'));
  await settle();
  expect(shown).toMatch(/bc\nd\n$/);
});
