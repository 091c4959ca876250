/** Sliders that limit what the guest may do to a disk, while it does it. */
import { html, type TemplateResult } from 'lit';
import type { DeviceInfo, Monitor } from '../answers.ts';
import { count } from '../format.ts';
import type { Model } from '../model.ts';
import type { Perform } from './jobs.ts';
import { byteStops, type Stops, slider } from './slider.ts';

const requestStops: Stops = { values: [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 0], show: count };

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
  const limit = (
    label: string,
    stops: Stops,
    value: number,
    change: (value: number) => Limits,
  ): TemplateResult =>
    slider({
      id: `limit-${name}-${label}`,
      label,
      stops,
      value,
      change: (stop) => perform(`Limit of ${name}`, () => setLimits(model.monitor, device, change(stop))),
    });
  return html`
    <h3 class="device-name">${name}</h3>
    ${limit('IOPS', requestStops, limits.iops, (iops) => ({ ...limits, iops }))}
    ${limit('Throughput', byteStops, limits.bps, (bps) => ({ ...limits, bps }))}
  `;
}
