/**
 * Changing what an image is (specification: qcow2, section 11.4): its version, the width of its refcounts, lazy refcounts,
 * its size.
 *
 * Everything that speaks against it is found before anything is changed. Then one thing changes after the other, each at
 * one instant: whenever it breaks off, the image is sound and has its contents.
 */
import { invalid } from '../../../base/errors.ts';
import type { BlockBackend } from '../../../block/backend.ts';
import type { AmendManner, AmendPlan, CreateValues } from '../../../block/driver.ts';
import { compatible } from '../disk/feature-bits.ts';
import { parseAmendValues, type WantedImage } from './amend-options.ts';
import { checkDowngrade, removeZeroClusters } from './downgrade.ts';
import type { Qcow2Driver } from './image.ts';
import { changeRefcountWidth } from './refcount-width.ts';

export async function planAmend(
  image: BlockBackend,
  driver: Qcow2Driver,
  values: CreateValues,
  how: AmendManner,
): Promise<AmendPlan> {
  const { header } = driver.engine;
  const wanted = parseAmendValues(values, header);
  const changesKeys = Object.keys(values).some(
    (name) => name.startsWith('encrypt.') && values[name] !== undefined,
  );
  if (changesKeys && !driver.encryption?.planSlotChange)
    throw invalid("Can't amend encryption options - encryption not present");
  const changeKeys = changesKeys && driver.encryption?.planSlotChange?.(image.node.graph, values, how);
  const isDowngrade = wanted.version < header.version;
  if (isDowngrade) {
    await driver.engine.settle();
    await checkDowngrade(driver, wanted.size ?? header.size);
  }
  return {
    dropsBitmaps: isDowngrade,
    async apply(report = () => {}) {
      // First of all: what else is wrong with it is found while nothing has changed yet.
      if (changeKeys) await changeKeys();
      await apply(image, driver, wanted, report);
    },
  };
}

async function apply(
  image: BlockBackend,
  driver: Qcow2Driver,
  wanted: WantedImage,
  report: (done: number) => void,
): Promise<void> {
  const { version, refcountOrder, lazyRefcounts, size } = wanted;
  const before = driver.engine.header;
  // Those that take time, in their order; each counts as much as the other.
  const long = [refcountOrder !== before.refcountOrder, version < before.version].filter(Boolean).length;
  let finished = 0;
  const reportStep = (done: number): void => report((finished + done) / long);
  if (version > before.version) {
    await driver.snapshots.upgradeTable();
    await driver.changeHeader({ version: 3 });
  }
  if (refcountOrder !== before.refcountOrder) {
    await changeRefcountWidth(driver, refcountOrder, reportStep);
    finished++;
  }
  const isLazy = (before.compatibleFeatures & compatible.lazyRefcounts) !== 0n;
  if (lazyRefcounts !== isLazy) {
    const bit = compatible.lazyRefcounts;
    await driver.changeHeader(lazyRefcounts ? { setCompatible: bit } : { clearCompatible: bit });
  }
  if (size !== undefined && size !== before.size) await image.truncate(size);
  if (version < before.version) {
    await removeZeroClusters(driver, reportStep);
    await driver.changeHeader({ version: 2 });
  }
}
