/**
 * Sizes and times for people, in the two forms of QEMU's tools (specification: cli, sections 1 and 4).
 */

const imageUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `196 KiB`, `1.32 MiB`: three significant digits, and a unit in which the integer part is below 1000. */
export function formatSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < imageUnits.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${threeDigits(value)} ${imageUnits[unit]}`;
}

/** C's `%0.3g` for a value below 1000 (or one that no unit makes smaller). */
function threeDigits(value: number): string {
  const digits = toFixedHalfEven(value, value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0);
  if (digits === '1000') return '1e+03';
  return digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
}

/** C's `%.Nf`: a value exactly between two goes to the even one, where JavaScript goes up. */
export function toFixedHalfEven(value: number, digits: number): string {
  const scaled = value * 10 ** digits;
  // A tie has at most digits + 1 binary places, and then the product is exact.
  const isTie = scaled % 1 === 0.5 && Number.isInteger(value * 2 ** (digits + 1));
  if (!isTie || Math.floor(scaled) % 2 === 1) return value.toFixed(digits);
  return (Math.floor(scaled) / 10 ** digits).toFixed(digits);
}

const ioUnits = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `1.500 KiB`, `64 KiB`, `32 bytes`: three digits after the point, left out when all are zero. */
export function formatIoSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < ioUnits.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = toFixedHalfEven(value, unit === 0 ? 6 : 3);
  return `${digits.replace(/\.0+$/, '')} ${ioUnits[unit]}`;
}

/** `SS.cc sec`, from one minute on `h:mm:ss.cc`; `fixed` always in the long form. */
export function formatDuration(ns: number, fixed = false): string {
  const hundredths = Math.floor(ns / 1e7);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  const minutes = Math.floor(hundredths / 6000);
  const rest = `${two((hundredths % 6000) / 100)}.${two(hundredths % 100)}`;
  if (minutes === 0 && !fixed) return `${rest} sec`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${rest}`;
}
