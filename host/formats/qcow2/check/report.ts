/**
 * What a check has found: counted in its result, put into words and passed on as it comes, up to a limit.
 *
 * What the comparison with the refcount blocks finds is counted apart: whether it stays is only known after the repair.
 * COPIED flags of clusters that the counts say nothing about wait for who looks up their refcount (copied-flags.ts).
 */
import type { CheckResult } from '../../../block/driver.ts';
import { describeFinding, type Finding } from './findings.ts';

/** More findings than this are counted but no longer reported one by one. */
export const maxReportedFindings = 100_000;

export class CheckReport {
  /** Of the comparison. `structure`: entries of the refcount table. */
  readonly compared = { leaks: 0, tooLow: 0, structure: 0, leaksFixed: 0, tooLowFixed: 0 };
  /** COPIED findings are being repaired. */
  fixing = false;
  /** COPIED findings whose refcount has to be looked up. */
  readonly unknownCopied: Finding[] = [];
  private lines = 0;

  /** `pass` gets every line; the comparison says nothing about clusters that are `exempt`. */
  constructor(
    readonly result: CheckResult,
    private readonly pass: (line: string) => void,
    private readonly exempt: (cluster: number) => boolean,
  ) {}

  /** Nothing more is passed on. */
  get isFull(): boolean {
    return this.lines > maxReportedFindings;
  }

  write(text: string): void {
    for (const line of text.split('\n')) {
      if (this.lines === maxReportedFindings) this.pass('Further findings are not shown');
      if (this.lines++ < maxReportedFindings) this.pass(line);
    }
  }

  /** Something that is wrong and that no repair of refcounts settles. */
  corruption(text: string, times = 1): void {
    this.result.corruptions += times;
    this.write(text);
  }

  /** An entry of the refcount table is wrong. */
  badTableEntry(text: string): void {
    this.compared.structure++;
    this.write(text);
  }

  /** What a step of the core has found. `references`: the count of the cluster that it is about, if it is about one. */
  take(finding: Finding, references: number): void {
    if (this.tally(finding)) this.write(describeFinding(finding, references, this.fixing));
  }

  /** Counts a finding; false when there is nothing to say. */
  private tally(finding: Finding): boolean {
    const { result, compared } = this;
    switch (finding.code) {
      case 'leak':
        compared.leaks++;
        return true;
      case 'too-low':
        if (this.exempt(Number(finding.a))) return false;
        compared.tooLow++;
        return true;
      case 'leak-fixed':
        compared.leaksFixed++;
        return true;
      case 'too-low-fixed':
        if (this.exempt(Number(finding.a))) return false;
        compared.tooLowFixed++;
        return true;
      case 'zero-unaligned-fixed':
        result.corruptionsFixed++;
        return true;
      case 'copied-unknown':
      case 'copied-l2-unknown':
        this.unknownCopied.push(finding);
        return false;
      case 'copied-data':
      case 'copied-l2':
        if (this.fixing) result.corruptionsFixed++;
        else result.corruptions++;
        return true;
      default:
        result.corruptions += finding.times;
        return true;
    }
  }

  /** Counts what `work` finds, but passes nothing of it on. */
  async silently(work: () => Promise<void>): Promise<void> {
    const { lines } = this;
    this.lines = maxReportedFindings + 1;
    await work();
    this.lines = lines;
  }
}
