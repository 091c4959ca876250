/** The same command line for the real qemu-storage-daemon and for ours: the same complaint. */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { main } from '../../host/cli/storage-daemon/main.ts';
import { haveQemu } from '../support/tools.ts';

const raw = 'raw,node-name=a,file.driver=null-co';
const qcow2 = 'qcow2,node-name=a,file.driver=null-co';
const nullCo = 'null-co,node-name=a';

const commandLines: readonly (readonly string[])[] = [
  ['--foo'],
  ['-x'],
  ['extra'],
  ['--blockdev'],
  ['--monitor'],
  ['--pidfile', '/nonexistent/p'],
  ...[
    'raw',
    'zz,node-name=x',
    'driver=raw,node-name',
    'file,node-name=a,filename=/nonexistent',
    'null-co',
    '{',
    '{"driver":"null-co","node-name":"a","size":"1"}',
    '[1]',
    'help',
    'null-co,help',
    ',node-name=a',
    'driver=null-co,,node-name=a',
    'a.b,node-name=a',
    `${nullCo},,`,
    `${nullCo},=3`,
    `${nullCo},1x=3`,
    `${nullCo},a..b=`,
    `${nullCo},a.=1`,
    `${nullCo},a_b=1`,
    `${nullCo},foo.bar=1`,
    `${nullCo},a.0=1,a.b=2`,
    `${nullCo},x.0.y=1,x.0=2`,
    `${nullCo},x.1=2,x=2`,
    `${nullCo},driver.x=a`,
    `${nullCo},cache.direct=on,cache=3`,
    `${nullCo},cache=3`,
    `${nullCo},read-only=foo`,
    `${nullCo},read-only.x=1`,
    `${nullCo},size.x=1`,
    'null-co,node-name.x=a',
    ...['1M', '', ' 7x', '0x', '99999999999999999999', '1.5'].map((size) => `${nullCo},size=${size}`),
    `${nullCo},size=010,foo=1`,
    `${raw},file=a`,
    `${raw},file.size=x`,
    `${raw},file.read-zeroes=x`,
    `${raw},file.zz=x`,
    'raw,node-name=a,file.driver=zz',
    'raw,node-name=a,file.size=1',
    'raw,node-name=a,file.driver=file,file.filename=a,file.aio=x',
    `${qcow2},overlap-check=zz`,
    `${qcow2},overlap-check.template=zz`,
    `${qcow2},overlap-check.0=zz`,
    'null-co,node-name=thisnameisfartoolongtobeanodename',
    'null-co,node-name=1a',
  ].map((options) => ['--blockdev', options]),
  ['--blockdev', nullCo, '--blockdev', nullCo],
  ...[
    'foo,id=x',
    'stdio',
    'null',
    'id=c',
    'backend=null',
    'stdio,id=c,zz=1',
    'null,id=1x',
    'file,id=c',
    'file,id=c,path=/nonexistent/a',
    'pipe,id=c,path=/nonexistent/a',
    'socket,id=c',
    'socket,id=c,port=4',
    'socket,id=c,host=localhost',
    'socket,id=c,path=/nonexistent/s',
    'socket,id=c,path=/nonexistent/s,wait=off',
    'socket,id=c,path=/nonexistent/s,server=on,wait=off',
    'socket,id=c,path=/nonexistent/s,server=foo',
    'socket,id=c,path=/nonexistent/s,host=b',
    `socket,id=c,path=/tmp/${'a'.repeat(120)},server=on`,
    'socket,id=c,fd=abc,server=on',
    'socket,id=c,fd=77,server=on',
    'socket,id=c,host=localhost,port=x,server=on,wait=off',
    'socket,id=c,host=127.0.0.1,port=1',
  ].map((options) => ['--chardev', options]),
  ['--chardev', 'null,id=c', '--chardev', 'null,id=c'],
  ...(['server', 'client'] as const).flatMap((endpoint) =>
    [
      'path=/nonexistent/s,server=on,wait=off',
      'path=/nonexistent/s',
      'host=127.0.0.1,port=1',
      'host=127.0.0.1,port=1,tls-authz=a',
      'host=127.0.0.1,port=1,websocket=on',
      'host=localhost,port=x,server=on,wait=off',
      'host=localhost,port=x,server=on,wait=off,tls-authz=a',
    ].map((options) => [
      ...['--object', `tls-creds-anon,id=t,endpoint=${endpoint}`],
      ...['--chardev', `socket,id=c,${options},tls-creds=t`],
    ]),
  ),
  ...['tls-creds=t', 'tls-creds=t,server=on,wait=off', 'tls-authz=t', 'tls-authz=t,server=on,wait=off'].map(
    (options) => ['--chardev', `socket,id=c,host=127.0.0.1,port=1,${options}`],
  ),
  ['--object', 'secret,id=t,data=x', '--chardev', 'socket,id=c,host=127.0.0.1,port=1,tls-creds=t'],
  ...[
    'x',
    'pretty=on',
    'chardev',
    'x,mode=readline',
    'c,mode=readline',
    'c,mode=zz',
    'c,pretty=foo',
    'c,pretty',
    'c,x=1',
    '{"chardev":"x"}',
    '{"chardev":1}',
  ].map((options) => ['--chardev', 'null,id=c', '--monitor', options]),
  ['--chardev', 'null,id=c', '--monitor', 'c', '--monitor', 'c'],
  ...[
    'zz,id=a',
    'throttle-group',
    'throttle-group,id=1a',
    'throttle-group,id=a,limits.iops-total=5k',
    'throttle-group,id=a,limits.iops-total=5,limits.iops-read=5',
    'throttle-group,id=a,x-iops-total=x',
    'throttle-group,id=a,x-zzz=1',
    'throttle-group,id=a,iops-total=5',
    'can-bus,id=a',
    'secret,id=s,zz=1',
    '{"qom-type":"throttle-group","id":"a","limits":{"iops-total":"5"}}',
  ].map((options) => ['--object', options]),
  ...[
    'x=y',
    'a,b',
    'nosuch,events=/nonexistent/e',
    'file=/nonexistent/t',
    'nosuch,file=%s',
    'a,id=4',
  ].flatMap((options) => [
    ['-T', options],
    ['--trace', options],
  ]),
  ['--trace', 'nosuch', '--blockdev', 'foo'],
  ['--blockdev', 'foo', '--trace', 'nosuch'],
  ['-T', 'nosuch', '-T', '-nosuch', '-T', 'no*', 'extra'],
  ['-T'],
  ['--object', 'throttle-group,id=a,x-bps-read=4096', '--object', 'throttle-group,id=a'],
];

describe.skipIf(!haveQemu)('the real storage daemon and ours refuse alike', () => {
  test.each(commandLines.map((words) => [words.join(' '), words] as const))('%s', async (_name, words) => {
    const real = spawnSync('qemu-storage-daemon', words, { timeout: 5000, killSignal: 'SIGKILL' });
    let errors = '';
    const terminal = { out: () => {}, error: (text: string) => void (errors += text) };
    const status = await main([...words], 'qemu-storage-daemon', terminal);
    expect({ errors, status }).toEqual({ errors: real.stderr.toString(), status: real.status });
  });

  test('and list the same properties of a throttle group', async () => {
    const words = ['--object', 'throttle-group,help'];
    const real = spawnSync('qemu-storage-daemon', words, { timeout: 5000, killSignal: 'SIGKILL' });
    let output = '';
    const terminal = { out: (text: string) => void (output += text), error: () => {} };
    const status = await main(words, 'qemu-storage-daemon', terminal);
    // Sorted by what stands there: QEMU's order puts a shorter name after a longer one.
    const lines = (text: string): string[] => text.split('\n').sort();
    expect({ output: lines(output), status }).toEqual({
      output: lines(real.stdout.toString()),
      status: real.status,
    });
  });
});
