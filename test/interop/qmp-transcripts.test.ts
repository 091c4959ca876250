/**
 * The same input for the real qemu-storage-daemon and for ours: the same answers, byte for byte, but for the version.
 */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { Prng } from '../../host/platform/sim/prng.ts';
import { transcriptOf } from '../support/qmp-server.ts';
import { haveQemu } from '../support/tools.ts';

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));

async function expectSame(
  pieces: readonly string[],
  before = '{"execute":"qmp_capabilities"}',
): Promise<void> {
  // A control character and the end of a line bring the parser to a known state.
  const whole = latin1(`${before}${pieces.map((piece) => `${piece}\n\x01\n`).join('')}{"execute":"quit"}\n`);
  const args = [
    '--chardev',
    'stdio,id=c',
    '--monitor',
    'c',
    '--blockdev',
    'null-co,node-name=n0,read-zeroes=on',
  ];
  const real = spawnSync('qemu-storage-daemon', args, { input: whole, timeout: 10_000 });
  const expected = normalised(real.stdout.toString('latin1'));
  const ours = normalised(
    await transcriptOf(whole, [{ driver: 'null-co', 'node-name': 'n0', 'read-zeroes': true }]),
  );
  const groups = (text: string): string[] => text.split(/(?<=stray '\\u0001'"}}\r\n)/);
  // One by one, so that a difference shows the input that made it.
  groups(expected).forEach((group, i) => {
    expect({ input: pieces[i], answers: groups(ours)[i] }).toEqual({ input: pieces[i], answers: group });
  });
  expect(ours).toBe(expected);
}

function normalised(text: string): string {
  return text.replace(/"package": "[^"]*"/g, '"package": ""');
}

const echo = (id: string): string => `{"execute":"query-version","id":${id}}`;
const add = (options: string): string => `{"execute":"blockdev-add","arguments":${options}}`;
const transaction = (actions: string, more = ''): string =>
  `{"execute":"transaction","arguments":{"actions":${actions}${more}}}`;

const json = [
  '{"a": @ , "b"}',
  '00',
  '1.}',
  '[1.e]',
  '-',
  '[-]',
  '-a',
  '"tab\t"',
  '"a',
  'nul ',
  'TRUE',
  'true',
  'truefalse ',
  '"\\q"',
  '"\\',
  '{"a" 1}',
  '{1:2}',
  '{null:2}',
  '{[]:2}',
  '{"a":1 "b":2}',
  '[1 2]',
  '[1,]',
  '{"a":1,}',
  '[,]',
  '{,}',
  ']',
  '}',
  ',',
  ':',
  '{"a":1,"a":2}',
  '{"a":@1,"a":2}',
  '[}',
  '{]',
  '[[}]',
  '"\\ud800"',
  '"\\ud800\\u0041"',
  '"\\ud800\\ud800"',
  '"\\udc00"',
  '"\\ufffe"',
  '"\\uffff"',
  '"\\ufdd0"',
  '"\\u12"',
  '"\\u12g4"',
  '"\\u"',
  '"\\u00\xc3\xa9"',
  '"\\u0\xc3\xa9\xc3\xa9"',
  '"\\ud800\\u00"',
  '0e1',
  '0E1',
  '1E3 ',
  '0.e1',
  '"\\ud83f\\udfff"',
  '"\xc0\x80"',
  '"\xc1\x80"',
  '"\xed\xa0\x80"',
  '"\xef\xbf\xbf"',
  '"\xf4\x90\x80\x80"',
  '"\x80"',
  '"\xfe"',
  '\xff',
  '\xc3\xa9',
  `${'['.repeat(1024)}${']'.repeat(1024)}`,
  `${'['.repeat(1025)}${']'.repeat(1025)}`,
  ...[
    '1e3',
    '0.1',
    '1.0',
    '-0',
    '-0.0',
    '1e-5',
    '0.0001',
    '123456789012345678',
    '1e17',
    '1e16',
    '1.5e300',
    '9007199254740993',
    '-9007199254740993',
    '9223372036854775807',
    '9223372036854775808',
    '18446744073709551615',
    '18446744073709551616',
    '-9223372036854775808',
    '-9223372036854775809',
    '1e999',
    '-1e999',
    'null',
    'false',
    '{"b":[],"a":{},"ab":{"x":[1,[2]]}}',
    '"\\u00e9\\u0000\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\"\\\\"',
    '"\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"',
    "'a\"b\\'c'",
    '"a\'b\\\'c"',
    '"\xc0\x80"',
  ].map(echo),
];

const requests = [
  '[]',
  '1 ',
  '{}',
  '{"foo":1}',
  '{"execute":1}',
  '{"execute":"a","exec-oob":"b"}',
  '{"exec-oob":"quit"}',
  '{"execute":"query-version","arguments":[]}',
  '{"execute":"query-version","arguments":null,"id":1}',
  '{"id":1,"arguments":{},"execute":"nosuch"}',
  '{"id":null,"execute":"nosuch"}',
  '{"execute":"query-version","zz":1,"id":2}',
  '{"execute":"qmp_capabilities"}',
  '{"execute":"qmp_capabilities","arguments":{"enable":["bad"]}}',
  '{"execute":"qmp_capabilities","arguments":{"enable":[1]}}',
  '{"execute":"qmp_capabilities","arguments":{"enable":1}}',
  '{"execute":"qmp_capabilities","arguments":{"x":1}}',
  '{"execute":"query-version","arguments":{"a":1}}',
];

const argumentsOfCommands = [
  ...[
    '{}',
    '{"driver":"zz"}',
    '{"driver":3}',
    '{"driver":"raw"}',
    '{"driver":"raw","file":3}',
    '{"driver":"raw","file":null}',
    '{"driver":"raw","file":{"driver":"file"}}',
    '{"driver":"raw","file":{"driver":"null-co","yy":1}}',
    '{"driver":"raw","file":{"driver":"raw","file":3}}',
    '{"driver":"raw","file":{"driver":"null-co","size":{}}}',
    '{"driver":"raw","file":"n0","zz":1,"node-name":4}',
    '{"driver":"raw","file":"n0","cache":{"direct":1}}',
    '{"driver":"raw","file":"n0","cache":{"xx":1}}',
    '{"driver":"raw","file":"n0","cache":[]}',
    '{"driver":"raw","file":"n0"}',
    '{"driver":"raw","file":"n0","node-name":""}',
    '{"driver":"raw","file":"n0","node-name":"1a"}',
    '{"driver":"raw","file":"nosuch","node-name":"a"}',
    '{"driver":"null-co","node-name":"n0"}',
    '{"driver":"null-co","node-name":"k","size":18446744073709551615}',
    '{"driver":"null-co","node-name":"k","size":1e3}',
    '{"driver":"raw","file":"n0","node-name":"k1","discard":null}',
    '{"driver":"raw","file":{"driver":"raw","file":"n0","discard":"no"}}',
    '{"driver":"qcow2","file":"n0","backing":5}',
    '{"driver":"qcow2","file":"n0","overlap-check":5}',
    '{"driver":"qcow2","file":"n0","overlap-check":"x"}',
    '{"driver":"qcow2","file":"n0","overlap-check":{"template":"x"}}',
    '{"driver":"qcow2","file":"n0","node-name":"q"}',
    '{"driver":"file","filename":"/nonexistent/x","node-name":"q"}',
  ].map(add),
  '{"execute":"blockdev-del","arguments":{}}',
  '{"execute":"blockdev-del","arguments":{"node-name":"nosuch"}}',
  '{"execute":"block_resize","arguments":{"node-name":"n0","size":"1M"}}',
  '{"execute":"block_resize","arguments":{"node-name":"n0"}}',
  '{"execute":"block_resize","arguments":{"size":1}}',
  '{"execute":"block_resize","arguments":{"node-name":"n1","size":1}}',
  '{"execute":"block-job-cancel","arguments":{"device":"j"}}',
  '{"execute":"job-cancel","arguments":{"id":"j"}}',
  '{"execute":"query-jobs"}',
  '{"execute":"query-block-jobs"}',
  transaction('{}'),
  transaction('[1]'),
  transaction('[{"type":"x"}]'),
  transaction('[{"type":"abort"}]'),
  transaction('[{"type":"abort","data":1}]'),
  transaction('[{"type":"abort","data":{"q":1}}]'),
  transaction('[{"type":"abort","data":{},"z":1}]'),
  transaction('[{"type":"abort","data":{}}]'),
  transaction('[]', ',"properties":{"completion-mode":"x"}'),
  transaction('[]', ',"properties":[]'),
  transaction('[]'),
];

/** Pieces of JSON in any order, so that most of it is wrong somewhere. */
function randomInput(chance: Prng): string {
  const parts = [
    ...[
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      ' ',
      '\n',
      '\t',
      '"a"',
      "'b'",
      '"execute"',
      '"id"',
      '"query-jobs"',
      '1',
    ],
    ...[
      '-2',
      '0',
      '.5',
      'e1',
      'E',
      'true',
      'null',
      'x',
      'Q',
      '@',
      '\\',
      '"',
      '\\u00',
      '\xc3',
      '\xa9',
      '\xff',
    ],
    ...['{"execute":"query-jobs"}', '{"execute":"query-jobs","id":', '{"a":1}'],
  ];
  return Array.from({ length: 1 + chance.below(12) }, () => parts[chance.below(parts.length)]).join('');
}

describe.skipIf(!haveQemu)('the real storage daemon and ours answer alike', () => {
  test('to JSON, good and bad', () => expectSame(json));
  test('to requests of any form', () => expectSame(requests));
  test('before negotiation', () => expectSame(requests, ''));
  test('to arguments of every wrong kind', () => expectSame(argumentsOfCommands));

  test.each([1, 2, 3, 4])('to pieces of JSON in any order, seed %i', (seed) => {
    const chance = new Prng(seed);
    return expectSame(Array.from({ length: 400 }, () => randomInput(chance)));
  });
});
