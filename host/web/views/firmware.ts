/** Where firmware is chosen when the server has none: by file or by address, once. */
import { html, nothing, type TemplateResult } from 'lit';
import { type FirmwarePart, firmwareParts } from '../firmware.ts';

export interface FirmwareState {
  /** Whether there is some. */
  readonly isThere: boolean;
  readonly problem: string | undefined;
}

type Chosen = Record<FirmwarePart, File | string>;

const titles: Readonly<Record<FirmwarePart, string>> = {
  bios: 'bios.bin',
  vga_bios: 'vgabios-stdvga.bin',
};

export function firmwareView(
  { isThere, problem }: FirmwareState,
  keep: (chosen: Chosen) => void,
): TemplateResult | typeof nothing {
  if (isThere) return nothing;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const data = new FormData(event.target as HTMLFormElement);
    const chosen = firmwareParts.map((part) => {
      const address = String(data.get(`${part}-address`)).trim();
      return [part, address === '' ? data.get(part) : address];
    });
    keep(Object.fromEntries(chosen) as Chosen);
  };
  return html`
    <form class="panel chooser" id="firmware" aria-labelledby="firmware-title" @submit=${submit}>
      <h2 id="firmware-title">Firmware</h2>
      <p class="hint">
        Machines that start from a disk need SeaBIOS. v86 does not bring it along, and this server has none: Debian has it in the package
        “seabios”, and every QEMU in its folder “share/qemu”. Choose both files once, this browser keeps them; or start the server
        where SeaBIOS is installed.
      </p>
      ${problem === undefined ? undefined : html`<p class="notice error" role="alert">${problem}</p>`}
      ${firmwareParts.map(
        (part) => html`
        <div class="row">
          <label for="firmware-${part}">${titles[part]}</label>
          <input type="file" id="firmware-${part}" name=${part} />
          <input type="url" name="${part}-address" placeholder="or its address: https://…" aria-label="Address of ${titles[part]}" />
        </div>`,
      )}
      <div class="row"><button type="submit">Use this firmware</button></div>
    </form>
  `;
}
