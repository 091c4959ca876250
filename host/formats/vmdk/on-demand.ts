/** What works on images: loaded when there is one. */

export { checkImage } from './check.ts';
export { createImage } from './create/create.ts';
export { openImage } from './live/open.ts';
