/**
 * The drivers a graph knows, by name and by how file names lead to them.
 */
import { BlockError, invalid } from '../base/errors.ts';
import type { Files } from '../platform/platform.ts';
import type { DriverDefinition } from './driver.ts';
import { foreignFormat, foreignFormatError } from './foreign-formats.ts';

/** How much of an image's start the drivers get to see when its format is guessed. */
export const probeBytes = 2048;

export class DriverRegistry {
  private readonly byName = new Map<string, DriverDefinition>();

  constructor(readonly definitions: readonly DriverDefinition[]) {
    for (const definition of definitions) this.byName.set(definition.name, definition);
  }

  find(name: string): DriverDefinition | undefined {
    return this.byName.get(name);
  }

  /** Throws `Unknown driver 'x'`. */
  get(name: string): DriverDefinition {
    const definition = this.byName.get(name);
    if (!definition) throw invalid(`Unknown driver '${name}'`);
    return definition;
  }

  /** The protocol that a file name asks for by its prefix; plain names are files. */
  protocolOf(filename: string): DriverDefinition {
    const prefix = prefixOf(filename);
    if (prefix === undefined) return this.plainProtocol();
    for (const definition of this.definitions) {
      const { filenamePrefix, otherPrefixes } = definition;
      if (filenamePrefix === prefix || otherPrefixes?.includes(prefix)) return definition;
    }
    throw new BlockError('EINVAL', `Unknown protocol '${prefix}'`);
  }

  /** As `protocolOf`, for a file that may be there: some drivers take certain files of the platform for themselves. */
  async protocolFor(files: Files, filename: string): Promise<DriverDefinition> {
    const protocol = this.protocolOf(filename);
    if (!protocol.servesPlainNames || prefixOf(filename) !== undefined) return protocol;
    for (const definition of this.definitions) {
      if (await definition.claimsFile?.(files, filename)) return definition;
    }
    return protocol;
  }

  /** What a name without prefix is a file of. */
  private plainProtocol(): DriverDefinition {
    return this.definitions.find(({ servesPlainNames }) => servesPlainNames) ?? this.get('file');
  }

  /**
   * The format whose magic matches best; the fallback when none does (specification: graph, section 6). Errors: it is a
   * format that there is no driver for. `filename` is that of the file, if it has one.
   */
  probe(head: Uint8Array, filename?: string): DriverDefinition {
    const known = this.recognise(head);
    if (known) return known;
    const foreign = foreignFormat(head, filename);
    if (foreign !== undefined) throw foreignFormatError(foreign);
    return this.definitions.find(({ isProbeFallback }) => isProbeFallback) ?? this.get('raw');
  }

  /** Whether an image that starts so is probed to be of the fallback. */
  looksRaw(head: Uint8Array): boolean {
    return this.recognise(head) === undefined && foreignFormat(head) === undefined;
  }

  private recognise(head: Uint8Array): DriverDefinition | undefined {
    let best: DriverDefinition | undefined;
    let bestScore = 1;
    for (const definition of this.definitions) {
      const score = definition.probe?.(head) ?? 0;
      if (score > bestScore) [best, bestScore] = [definition, score];
    }
    return best;
  }
}

function prefixOf(filename: string): string | undefined {
  return /^([^/:]*):/.exec(filename)?.[1];
}
