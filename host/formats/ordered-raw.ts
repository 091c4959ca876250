/** raw, written in order: the disk as it is. There are no holes: zeros are written where nothing else is. */
import type { CreateValues } from '../block/driver.ts';
import type { OrderedFile, OrderedImage, OrderedPlan } from '../block/ordered-file.ts';

const zeros = new Uint8Array(1 << 20);

export function planOrderedRaw({ size = 0 }: CreateValues): OrderedPlan {
  const bytes = Number(size);
  return {
    bounds: { maxBytes: bytes, headBytes: 0 },
    begin: (file) => new OrderedRaw(file, bytes),
  };
}

class OrderedRaw implements OrderedImage {
  readonly clusterBytes = 0;
  private at = 0;

  constructor(
    private readonly file: OrderedFile,
    private readonly size: number,
  ) {}

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.zeroUpTo(offset);
    await this.append(bytes);
  }

  private async zeroUpTo(offset: number): Promise<void> {
    while (this.at < offset) await this.append(zeros.subarray(0, offset - this.at));
  }

  private async append(bytes: Uint8Array): Promise<void> {
    await this.file.append(bytes);
    this.at += bytes.length;
  }

  async finish(): Promise<void> {
    await this.zeroUpTo(this.size);
    await this.file.finish();
  }
}
