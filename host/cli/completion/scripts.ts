/**
 * Completion scripts for shells. They hold all that they need, so that a key costs no start of the program. Where none of the words
 * fits, and behind options, names of files are offered. Names such as qemu-img are completed where they are links to this program.
 */
import { bash } from './bash.ts';
import { fish } from './fish.ts';
import type { CommandWords } from './words.ts';
import { zsh } from './zsh.ts';

type Script = (words: readonly CommandWords[]) => string;

export const scripts: Readonly<Record<string, Script>> = { bash, zsh, fish };
