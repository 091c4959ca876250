/** What is loaded when the first NBD server is named: one part of the program, whatever is wanted of the server. */
export { createOnServer } from './create.ts';
export { openDisk } from './remote-disk.ts';
