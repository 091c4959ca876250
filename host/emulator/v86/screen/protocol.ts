/**
 * What the end of a screen where the machine is tells the end in the page. Graphics are no part of it: they are drawn into the page's
 * canvas from the other thread.
 */

/** Characters of one look beside each other. Colours are 0xRRGGBB. */
export interface TextRun {
  readonly text: string;
  readonly background: number;
  readonly foreground: number;
  readonly blinks: boolean;
}

export interface TextCursor {
  readonly row: number;
  readonly column: number;
  /** Scan lines of the character, from the top; the last one is part of the cursor. */
  readonly firstLine: number;
  readonly lastLine: number;
  readonly isVisible: boolean;
}

export type ScreenUpdate =
  | { readonly type: 'text-mode' }
  /** The canvas has this size by now, in pixels. */
  | { readonly type: 'graphics-mode'; readonly width: number; readonly height: number }
  /** `lines`: those that differ from what was told before, by their numbers. */
  | {
      readonly type: 'text';
      readonly columns: number;
      readonly rows: number;
      readonly lines: readonly (readonly [row: number, runs: readonly TextRun[]])[];
      readonly cursor: TextCursor;
    };
