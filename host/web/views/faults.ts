/**
 * What lies over the machine's screen: while it stands because a disk has failed or the guest has switched it off, why, and a button to go
 * on; and while a disk's server is only asked again, a line that says so. It takes no room of its own, so nothing moves when it comes
 * and goes.
 */
import { html, nothing, type TemplateResult } from 'lit';
import type { FailureInfo } from '../answers.ts';
import { diskTitle, failedDisk, faultWords, troubleWords } from '../fault-words.ts';
import { moment } from '../format.ts';
import type { Model } from '../model.ts';
import type { DiskTrouble } from '../troubles.ts';
import type { Perform } from './jobs.ts';

export function faultsView(model: Model, perform: Perform): TemplateResult | typeof nothing {
  if (model.status === 'shutdown') return offView(model, perform);
  if (model.status === 'io-error') return standingView(model, perform);
  const { diskTroubles } = model;
  return diskTroubles.length === 0
    ? nothing
    : html`<div class="trouble" role="status">${diskTroubles.map(troubleView)}</div>`;
}

function standingView(model: Model, perform: Perform): TemplateResult {
  const stopping = model.failures.filter(({ action }) => action === 'stop');
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

function offView(model: Model, perform: Perform): TemplateResult {
  return html`
    <section class="fault off" role="status" aria-labelledby="off-title">
      <div class="card">
        <div class="words" tabindex="0">
          <h3 id="off-title">The machine is off</h3>
          <p>Its guest has switched it off. What it has written to its disks is kept.</p>
        </div>
        <button type="button" class="primary" data-action="switch-on"
          @click=${() => perform('Start', () => switchOn(model))}>Start again</button>
      </div>
    </section>
  `;
}

/** It begins anew, on the same disks. */
export async function switchOn({ monitor }: Model): Promise<void> {
  await monitor.qmp('system_reset');
  await monitor.qmp('cont');
}

function troubleView({ disk, reason, message, since }: DiskTrouble): TemplateResult {
  return html`<p title=${message}><b>${diskTitle(disk)}:</b> ${troubleWords(reason)} Trying again since ${moment(since, new Date())}; the guest
    waits.</p>`;
}

function titleOf(failures: readonly FailureInfo[]): string {
  const disks = failures.map(failedDisk).join(' and ');
  const hasRead = failures.some(({ operation }) => operation === 'read');
  const hasWritten = failures.some(({ operation }) => operation === 'write');
  if (disks === '') return 'a disk has failed';
  return `${disks} could not be ${hasRead && hasWritten ? 'read and written' : hasRead ? 'read' : 'written'}`;
}

function failureView(failure: FailureInfo): TemplateResult {
  const { what, help } = faultWords(failure);
  return html`
    <p><b>${failedDisk(failure)}:</b> ${what} ${help}</p>
    <p class="hint mono">${failure.message}</p>
  `;
}
