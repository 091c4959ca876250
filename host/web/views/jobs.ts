/** Jobs with their progress and rate, and what can be done to them in the state they are in. */
import { html, type TemplateResult } from 'lit';
import { bytes, rate } from '../format.ts';
import type { JobRow, Model } from '../model.ts';

interface Verb {
  readonly label: string;
  readonly command: string;
  readonly when: readonly string[];
}

const verbs: readonly Verb[] = [
  { label: 'Pause', command: 'job-pause', when: ['running', 'ready'] },
  { label: 'Resume', command: 'job-resume', when: ['paused', 'standby'] },
  { label: 'Complete', command: 'job-complete', when: ['ready'] },
  { label: 'Cancel', command: 'job-cancel', when: ['running', 'ready', 'paused', 'standby', 'created'] },
  { label: 'Finalize', command: 'job-finalize', when: ['pending'] },
  { label: 'Dismiss', command: 'job-dismiss', when: ['concluded'] },
];

export type Perform = (what: string, act: () => Promise<unknown>) => void;

export function jobsView(model: Model, perform: Perform): TemplateResult {
  // Making a file takes a moment, and is part of something else.
  const jobs = model.jobs.filter(({ type }) => type !== 'create');
  return html`
    <section class="panel" aria-labelledby="jobs-title">
      <header><h2 id="jobs-title">Jobs</h2></header>
      <div class="jobs">
        ${
          jobs.length === 0
            ? html`<p class="hint">Nothing is being copied. A backup shows up here while it runs.</p>`
            : html`<table>
                <thead><tr><th>Job</th><th>State</th><th>Progress</th><th>Rate</th><td></td></tr></thead>
                <tbody>${jobs.map((job) => rowView(model, job, perform))}</tbody>
              </table>`
        }
      </div>
    </section>
  `;
}

function rowView(model: Model, job: JobRow, perform: Perform): TemplateResult {
  const [done, total] = [job['current-progress'], job['total-progress']];
  return html`
    <tr>
      <td><b>${job.id}</b> <span class="hint">${job.type}</span></td>
      <td>${job.error ? html`<span title=${job.error}>failed</span>` : job.status}</td>
      <td>
        <progress max=${Math.max(1, total)} value=${done} aria-label="${job.id}: progress"></progress>
        <span class="hint">${bytes(done)} of ${bytes(total)}</span>
      </td>
      <td class="number">${rate(job.bytesPerSecond)}</td>
      <td><span class="row">
        ${verbs
          .filter(({ when }) => when.includes(job.status))
          .map(
            ({ label, command }) => html`<button
              type="button"
              @click=${() => perform(`${label} ${job.id}`, () => model.monitor.qmp(command, { id: job.id }))}
            >${label}</button>`,
          )}
      </span></td>
    </tr>
  `;
}
