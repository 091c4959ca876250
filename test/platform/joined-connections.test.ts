import { describe, expect, test } from 'vitest';
import type { Connection } from '../../host/platform/connection.ts';
import { joinedConnections } from '../../host/platform/joined-connections.ts';

/** Starts `connection`; what it hears is noted, `said` at each piece of data. */
function listen(connection: Connection, said: (text: string) => void = () => {}): string[] {
  const heard: string[] = [];
  connection.start({
    data: (bytes) => {
      const text = new TextDecoder().decode(bytes);
      heard.push(text);
      said(text);
    },
    drained: () => heard.push('(drained)'),
    ended: () => heard.push('(ended)'),
    closed: () => heard.push('(closed)'),
  });
  return heard;
}

function write(connection: Connection, text: string): void {
  connection.write(new TextEncoder().encode(text));
}

describe('joined connections', () => {
  test('carry bytes in both directions, at once', () => {
    const [one, other] = joinedConnections();
    const heard = [listen(one), listen(other)];
    write(one, 'a');
    write(other, 'b');
    expect(heard).toEqual([['b'], ['a']]);
    expect([one.unsentBytes, other.unsentBytes]).toEqual([0, 0]);
  });

  test('hold back what comes before the start and in a pause, and say when it is on its way', () => {
    const [one, other] = joinedConnections();
    const byOne = listen(one);
    write(one, 'ab');
    expect(one.unsentBytes).toBe(2);
    const byOther = listen(other);
    expect([byOne, byOther, one.unsentBytes]).toEqual([['(drained)'], ['ab'], 0]);
    other.pause();
    write(one, 'c');
    write(one, 'd');
    expect([byOther, one.unsentBytes]).toEqual([['ab'], 2]);
    other.resume();
    expect([byOne, byOther]).toEqual([
      ['(drained)', '(drained)'],
      ['ab', 'c', 'd'],
    ]);
  });

  test('deliver what a handler causes after what it is dealing with', () => {
    const [one, other] = joinedConnections();
    const order: string[] = [];
    listen(one, () => write(one, 'second'));
    listen(other, (text) => {
      order.push(`${text} begins`);
      if (text === 'first') write(other, 'echo');
      order.push(`${text} ends`);
    });
    write(one, 'first');
    expect(order).toEqual(['first begins', 'first ends', 'second begins', 'second ends']);
  });

  test('tell the other side of the close when it has got everything', () => {
    const [one, other] = joinedConnections();
    const byOne = listen(one);
    const byOther = listen(other);
    other.pause();
    write(one, 'last');
    one.close();
    expect(byOther).toEqual([]);
    other.resume();
    expect(byOther).toEqual(['last', '(closed)']);
    write(other, 'nobody hears this');
    other.close();
    expect(byOne).toEqual([]);
  });
});
