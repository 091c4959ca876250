/** Sliders that limit what the guest may do to a disk, while it does it. */
import { html, type TemplateResult } from 'lit';
import type { DeviceInfo, Monitor } from '../answers.ts';
import { count, rate } from '../format.ts';
import type { Model } from '../model.ts';
import type { Perform } from './jobs.ts';

/** What the stops of a slider mean; the last one is no limit. */
const iopsStops = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 0];
const bpsStops = [1, 2, 4, 8, 16, 32, 64, 128, 256].map((mebibytes) => mebibytes * 1024 * 1024).concat(0);

interface Limits {
  iops: number;
  bps: number;
}

function limitsOf(device: DeviceInfo): Limits {
  return { iops: device.inserted?.iops ?? 0, bps: device.inserted?.bps ?? 0 };
}

function setLimits(monitor: Monitor, device: DeviceInfo, { iops, bps }: Limits): Promise<unknown> {
  const who = device.device ? { device: device.device } : { id: device.qdev };
  return monitor.qmp('block_set_io_throttle', {
    ...who,
    iops,
    bps,
    iops_rd: 0,
    iops_wr: 0,
    bps_rd: 0,
    bps_wr: 0,
  });
}

/** The nearest stop at or above the limit. */
function stopOf(stops: readonly number[], limit: number): number {
  const found = limit === 0 ? -1 : stops.findIndex((stop) => stop >= limit);
  return found < 0 ? stops.length - 1 : found;
}

export function limitsView(model: Model, perform: Perform): TemplateResult {
  const devices = model.devices.filter(({ inserted, qdev, device }) => inserted && (qdev || device));
  return html`
    <section class="panel" aria-labelledby="limits-title">
      <header><h2 id="limits-title">Limits</h2></header>
      <div class="limits device-limits">${
        devices.length === 0
          ? html`<p class="hint">No disks.</p>`
          : devices.map((device) => deviceView(model, device, perform))
      }</div>
    </section>
  `;
}

function deviceView(model: Model, device: DeviceInfo, perform: Perform): TemplateResult {
  const limits = limitsOf(device);
  const name = device.device || device.qdev!; // what has no name has a path
  const slider = (
    label: string,
    stops: readonly number[],
    value: number,
    show: (value: number) => string,
    change: (value: number) => Limits,
  ): TemplateResult => html`
    <label for="limit-${name}-${label}">${label}</label>
    <input id="limit-${name}-${label}" type="range" min="0" max=${stops.length - 1} .value=${String(stopOf(stops, value))}
      @change=${(event: Event) => {
        const stop = stops[Number((event.target as HTMLInputElement).value)]!; // the slider goes over them
        perform(`Limit of ${name}`, () => setLimits(model.monitor, device, change(stop)));
      }} />
    <output>${value === 0 ? 'unlimited' : show(value)}</output>
  `;
  return html`
    <h3 class="device-name">${name}</h3>
    ${slider('IOPS', iopsStops, limits.iops, count, (iops) => ({ ...limits, iops }))}
    ${slider('Throughput', bpsStops, limits.bps, rate, (bps) => ({ ...limits, bps }))}
  `;
}
