/**
 * What lies over the machine's screen while it stands because a disk has failed: which one, why, and a button to go on.
 * It takes no room of its own, so nothing moves when it comes and goes.
 */
import { html, nothing, type TemplateResult } from 'lit';
import type { FailureInfo } from '../answers.ts';
import { diskTitle, faultWords } from '../fault-words.ts';
import type { Model } from '../model.ts';
import type { Perform } from './jobs.ts';

export function faultsView(model: Model, perform: Perform): TemplateResult | typeof nothing {
  const stopping = model.failures.filter(({ action }) => action === 'stop');
  if (model.status !== 'io-error') return nothing;
  return html`
    <section class="fault" role="alert" aria-labelledby="fault-title">
      <div class="card">
        <div class="words" tabindex="0">
          <h3 id="fault-title">The machine stands: ${titleOf(stopping)}</h3>
          ${stopping.map(failureView)}
          <p>The guest has noticed nothing and nothing is lost: what it asked for is done when it goes on.</p>
        </div>
        <button type="button" class="primary" data-action="resume"
          @click=${() => perform('Try again', () => model.monitor.qmp('cont'))}>Try again</button>
      </div>
    </section>
  `;
}

function titleOf(failures: readonly FailureInfo[]): string {
  const disks = failures.map(diskTitle).join(' and ');
  const hasRead = failures.some(({ operation }) => operation === 'read');
  const hasWritten = failures.some(({ operation }) => operation === 'write');
  if (disks === '') return 'a disk has failed';
  return `${disks} could not be ${hasRead && hasWritten ? 'read and written' : hasRead ? 'read' : 'written'}`;
}

function failureView(failure: FailureInfo): TemplateResult {
  const { what, help } = faultWords(failure);
  return html`
    <p><b>${diskTitle(failure)}:</b> ${what} ${help}</p>
    <p class="hint mono">${failure.message}</p>
  `;
}
