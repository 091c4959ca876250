/** What a server tells of its exports before anything is read from them. */

/** A kind of block status that an export can be asked for. */
export interface MetaContext {
  /** Its number in answers. */
  readonly id: number;
  readonly name: string;
}

/** An export as clients hear of it. */
export interface OfferedExport {
  readonly name: string;
  /** Empty: none. */
  readonly description: string;
  /** Bytes. */
  readonly size: number;
  /** `TransmissionFlag`s but for those that a connection's own choices add. */
  readonly flags: number;
  /** Bytes: what requests are a multiple of, what they had best be a multiple of, and what they may carry at most. */
  readonly blockSizes: { readonly minimum: number; readonly preferred: number; readonly maximum: number };
  /** In the order in which they are told and answered. */
  readonly contexts: readonly MetaContext[];
}

/** All that there is to choose from. */
export interface Offer<Export extends OfferedExport> {
  /** In the order in which they are listed. */
  list(): Iterable<Export>;
  find(name: string): Export | undefined;
  /** Whether clients have to begin TLS before anything else; without it, they cannot. */
  readonly usesTls: boolean;
}
