/**
 * The progress line of `-p`: `    (12.34/100%)` and a carriage return, whenever it moved by more than `step` percent,
 * and always when work begins and at 100 (specification: cli, section 1). SIGUSR1 prints it once in any case.
 */
import { toFixedHalfEven } from './human-size.ts';
import type { Tool } from './tool.ts';

export class Progress {
  private done = 0;
  private shown = Number.NEGATIVE_INFINITY;
  private readonly onSignal = (): void => this.print();

  constructor(
    private readonly tool: Tool,
    private readonly enabled: boolean,
    private readonly step: number,
  ) {
    process.on('SIGUSR1', this.onSignal);
  }

  /** Work begins. */
  begin(): this {
    this.set(0);
    return this;
  }

  /** `percent`: 0–100. */
  set(percent: number): void {
    this.done = percent;
    if (!this.enabled) return;
    if (percent !== 0 && percent !== 100 && percent - this.shown <= this.step) return;
    this.shown = percent;
    this.print();
  }

  /** Ends the line. */
  finish(): void {
    process.off('SIGUSR1', this.onSignal);
    if (this.enabled) this.tool.out('\n');
  }

  private print(): void {
    this.tool.out(`    (${toFixedHalfEven(this.done, 2)}/100%)\r`);
  }
}
