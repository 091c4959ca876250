/**
 * The further files of a new image: beside the first, in its folder, or in nodes that options have.
 *
 * Only formats that need it import this: everybody else does without it.
 */
import { invalid } from '../base/errors.ts';
import type { BlockBackend } from './backend.ts';
import { type GivenNode, openGiven, pathOf, writeInto, writeNewFile } from './create.ts';
import type { CreatePlace, CreateValues, Driver, DriverDefinition } from './driver.ts';
import { exactFilename, resolveAgainst, resolveBackingName } from './filename.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode } from './node.ts';

/** A file that an image is made of, beside the first. */
interface FurtherFile {
  /** In the folder of the image. */
  name: string;
  /** How long it is to be, and how its space is allocated. */
  values: CreateValues;
  write?(file: BlockBackend): Promise<void>;
}

export interface NewFiles {
  /** As the image names its first file: without a folder. */
  readonly name: string;
  /** Where a backing file of that name is. */
  backingPath(backingFile: string): string;
  /**
   * Makes (or empties) a further file, and has it written. Returns the name by which the image finds it. Errors: of creation;
   * what there cannot be.
   */
  make(index: number, file: FurtherFile): Promise<string>;
  /** There is no further one. Errors: there is. */
  end(): void;
  /** Takes away what was made, because no image came of it. */
  remove(): Promise<void>;
}

/** `file`: the first of them. */
export function newFiles(file: BlockBackend, place: CreatePlace): NewFiles {
  return 'given' in place
    ? new GivenFiles(place.graph, file.node, place.given)
    : new FilesBeside(place.graph, place.protocol, place.filename);
}

class FilesBeside implements NewFiles {
  private readonly made: string[] = [];

  constructor(
    private readonly graph: BlockGraph,
    private readonly protocol: DriverDefinition,
    private readonly filename: string,
  ) {}

  get name(): string {
    return this.filename.slice(this.folder.length);
  }

  /** With the prefix of the protocol, if the name has one. */
  private get folder(): string {
    const { filename } = this;
    const start = filename.lastIndexOf('/') + 1;
    if (start > 0 || pathOf(this.protocol, filename) === filename) return filename.slice(0, start);
    return filename.slice(0, filename.indexOf(':') + 1);
  }

  backingPath(backingFile: string): string {
    return resolveAgainst(this.filename, backingFile);
  }

  async make(_index: number, { name, values, write }: FurtherFile): Promise<string> {
    const { graph, protocol } = this;
    const filename = this.folder + name;
    await protocol.create!.createFile!(graph.platform, pathOf(protocol, filename), values); // as that of the first
    this.made.push(filename);
    if (write)
      await writeInto(graph, { filename, format: protocol.name }, (node) => writeNewFile(node, write));
    return name;
  }

  end(): void {}

  async remove(): Promise<void> {
    const { graph, protocol, made } = this;
    for (const filename of made)
      await protocol.create!.removeFile?.(graph.platform, pathOf(protocol, filename)); // it has made them
  }
}

/** They are there already: option `extents` has a list of them. */
class GivenFiles implements NewFiles {
  private readonly given: readonly GivenNode[];
  private used = 0;

  constructor(
    private readonly graph: BlockGraph,
    private readonly node: BlockNode,
    options: Readonly<Record<string, unknown>>,
  ) {
    this.given = (options['extents'] as GivenNode[] | undefined) ?? [];
  }

  get name(): string {
    return nameOf(this.node);
  }

  backingPath(backingFile: string): string {
    return resolveBackingName(this.node, backingFile);
  }

  async make(index: number, { values, write }: FurtherFile): Promise<string> {
    const given = this.given[index];
    if (given === undefined) throw invalid(`Extent [${index}] not specified`);
    this.used++;
    const node = await openGiven(this.graph, given);
    try {
      const setLength = (file: BlockBackend) =>
        file.truncate(Number(values['size'] ?? 0), { preallocation: 'off', exact: true });
      await writeNewFile(node, write ?? setLength);
      return nameOf(node);
    } finally {
      await this.graph.unref(node);
    }
  }

  end(): void {
    if (this.given.length > this.used) throw invalid('List of extents contains unused extents');
  }

  /** Whoever gave them has them still. */
  async remove(): Promise<void> {}
}

/** The last part of the name of its file. */
function nameOf(node: BlockNode): string {
  return (exactFilename(node) ?? '').replace(/^.*\//s, '');
}

/** Opens an image, without what is below it, and closes it again. */
export async function inspectImage<T>(
  graph: BlockGraph,
  { filename, format }: { filename: string; format: string },
  look: (driver: Driver) => T,
): Promise<T> {
  const flags = { readOnly: true, forceShare: true };
  const node = await graph.openFile(filename, { format, noBacking: true, flags });
  try {
    return look(node.driver);
  } finally {
    await graph.unref(node);
  }
}
