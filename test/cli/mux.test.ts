/** A port and a monitor on one terminal: who gets what is typed, and what Ctrl-A does. */
import { beforeEach, expect, test } from 'vitest';
import { Mux } from '../../host/cli/chardev/mux.ts';
import type { ChardevUser } from '../../host/cli/chardev/user.ts';
import type { Connection } from '../../host/platform/connection.ts';
import { joinedConnections } from '../../host/platform/joined-connections.ts';

let shown: string;
let log: string[];
let type: (text: string) => Promise<void>;
let timeNs: number;
let ends: Map<string, Connection>;

/** A user that says what it gets. */
function user(name: string, kind: ChardevUser['kind']): ChardevUser {
  return {
    kind,
    connect(connection) {
      log.push(`${name} begins`);
      ends.set(name, connection);
      connection.start({
        data: (bytes) => log.push(`${name}: ${Buffer.from(bytes).toString('latin1')}`),
        drained: () => {},
        ended: () => log.push(`${name} ended`),
        closed: () => log.push(`${name} closed`),
      });
      return { takeTurn: () => log.push(`${name} again`), leaveTurn: () => log.push(`${name} leaves`) };
    },
    sendBreak() {
      log.push('break');
      return kind === 'port' ? 'no break' : undefined;
    },
  };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Somebody at a terminal. */
function come(mux: Mux): { leave(): void } {
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
  mux.attach(terminal);
  return { leave: () => person.close() };
}

function share(...users: ChardevUser[]): Mux {
  return new Mux(users, {
    commitAll: () => log.push('commit'),
    end: () => log.push('end'),
    nowNs: () => timeNs,
  });
}

beforeEach(() => {
  shown = '';
  log = [];
  timeNs = 0;
  ends = new Map();
  come(share(user('monitor', 'monitor'), user('port', 'port')));
  log.length = 0;
});

test('what is typed goes to the one whose turn it is', async () => {
  await type('ab');
  await type('c\x01cde\x01cf\x01cg');
  expect(log).toEqual([
    'port: ab',
    'port: c',
    'port leaves',
    'monitor begins',
    'monitor: de',
    'monitor leaves',
    'port again',
    'port: f',
    'port leaves',
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

test('the time stands in front of each line while that is wanted, and begins with the first', async () => {
  const port = ends.get('port')!; // it has begun
  timeNs = 5e9;
  await type('\x01t');
  timeNs = 6e9;
  port.write(Buffer.from('rest\na'));
  timeNs = 66_001_500_000 + 6e9;
  port.write(Buffer.from('\nb'));
  port.write(Buffer.from('c\n'));
  await settle();
  expect(shown).toBe('rest\n[00:00:00.000] a\n[00:01:06.001] bc\n');
  await type('\x01t');
  port.write(Buffer.from('d\n'));
  await settle();
  expect(shown).toMatch(/bc\nd\n$/);
});

test('several take turns in a row, and all but human monitors begin at once', async () => {
  const mux = share(user('q', 'control'), user('m', 'monitor'), user('o', 'port'), user('p', 'port'));
  const client = come(mux);
  expect(log).toEqual(['q begins', 'o begins', 'p begins']);
  log.length = 0;
  await type('a\x01cb\x01b\x01cc');
  expect(log).toEqual(['p: a', 'p leaves', 'q again', 'q: b', 'break', 'q leaves', 'm begins', 'm: c']);
  expect(shown).toBe('');
  client.leave();
  await settle();
  log.length = 0;
  // Who comes next finds the turn where it was.
  come(mux);
  await type('d\x01ce');
  expect(log).toEqual([
    'q begins',
    'm begins',
    'o begins',
    'p begins',
    'm: d',
    'm leaves',
    'o again',
    'o: e',
  ]);
});

test.each([
  ['the last port', 'm q p P', 'P'],
  ['the first QMP monitor', 'm q Q M', 'q'],
  ['the last human monitor', 'm M', 'M'],
])('the first turn is of %s', async (_, names, first) => {
  const kinds = { m: 'monitor', q: 'control', p: 'port' } as const;
  come(share(...names.split(' ').map((name) => user(name, kinds[name.toLowerCase() as keyof typeof kinds]))));
  await type('x');
  expect(log.filter((line) => line.endsWith('x'))).toEqual([`${first}: x`]);
});
