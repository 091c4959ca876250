/** koffi is loaded in two ways, and there is no difference but the time. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { loadKoffi } from '../../../host/platform/node/koffi.ts';

interface Koffi {
  load(path: null): { func(definition: string): (text: string) => number };
}

afterEach(() => void vi.restoreAllMocks());

function lengthOf(koffi: Koffi, text: string): number {
  return koffi.load(null).func('size_t strlen(const char *text)')(text);
}

describe.runIf(process.platform === 'linux')('koffi', () => {
  test('is loaded as an addon from where npm has put that', () => {
    const dlopen = vi.spyOn(process, 'dlopen');
    const koffi = loadKoffi<Koffi>()!; // the tests have it
    expect(dlopen).toHaveBeenCalledOnce();
    expect(dlopen.mock.calls[0]![1]).toMatch(/@koromix\/koffi-linux-\w+\/linux_\w+\/koffi\.node$/); // see above
    expect(lengthOf(koffi, 'four')).toBe(4);
  });

  test('is looked for in its own way where the addon cannot be loaded so', () => {
    vi.spyOn(process, 'dlopen').mockImplementationOnce(() => {
      throw new Error('cannot open shared object file');
    });
    const koffi = loadKoffi<Koffi>()!; // the tests have it
    expect(lengthOf(koffi, 'three')).toBe(5);
  });

  test('is missing quietly', () => {
    vi.spyOn(process, 'platform', 'get').mockReturnValue('darwin');
    expect(loadKoffi()).toBeUndefined();
  });
});
