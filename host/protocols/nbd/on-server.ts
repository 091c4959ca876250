/** What speaks to NBD servers, loaded when the first one is named. In one piece: what both parts need would be in neither. */
export { createOnServer } from './create.ts';
export { openDisk } from './remote-disk.ts';
