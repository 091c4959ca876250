/**
 * The models of processors that a machine can be given by `-cpu`, as QEMU 10.0 names them.
 *
 * Always: a model has its versions `MODEL-v1`, …; its name alone means the first, and some have names of their own. What a model
 * can do is not known here: no guest is run by one.
 */

interface Model {
  /** How many. */
  readonly versions: number;
  /** Those that are called `MODEL-NAME`, too. */
  readonly names?: Readonly<Record<string, number>>;
}

const models: Readonly<Record<string, Model>> = {
  '486': { versions: 1 },
  athlon: { versions: 1 },
  Broadwell: { versions: 4, names: { noTSX: 2, IBRS: 3, 'noTSX-IBRS': 4 } },
  'Cascadelake-Server': { versions: 5, names: { noTSX: 3 } },
  ClearwaterForest: { versions: 1 },
  Conroe: { versions: 1 },
  Cooperlake: { versions: 2 },
  core2duo: { versions: 1 },
  coreduo: { versions: 1 },
  Denverton: { versions: 3 },
  Dhyana: { versions: 2 },
  EPYC: { versions: 4, names: { IBPB: 2 } },
  'EPYC-Genoa': { versions: 1 },
  'EPYC-Milan': { versions: 2 },
  'EPYC-Rome': { versions: 4 },
  GraniteRapids: { versions: 2 },
  Haswell: { versions: 4, names: { noTSX: 2, IBRS: 3, 'noTSX-IBRS': 4 } },
  'Icelake-Server': { versions: 7, names: { noTSX: 2 } },
  IvyBridge: { versions: 2, names: { IBRS: 2 } },
  KnightsMill: { versions: 1 },
  kvm32: { versions: 1 },
  kvm64: { versions: 1 },
  n270: { versions: 1 },
  Nehalem: { versions: 2, names: { IBRS: 2 } },
  Opteron_G1: { versions: 1 },
  Opteron_G2: { versions: 1 },
  Opteron_G3: { versions: 1 },
  Opteron_G4: { versions: 1 },
  Opteron_G5: { versions: 1 },
  Penryn: { versions: 1 },
  pentium: { versions: 1 },
  pentium2: { versions: 1 },
  pentium3: { versions: 1 },
  phenom: { versions: 1 },
  qemu32: { versions: 1 },
  qemu64: { versions: 1 },
  SandyBridge: { versions: 2, names: { IBRS: 2 } },
  SapphireRapids: { versions: 3 },
  SierraForest: { versions: 2 },
  'Skylake-Client': { versions: 4, names: { IBRS: 2, 'noTSX-IBRS': 3 } },
  'Skylake-Server': { versions: 5, names: { IBRS: 2, 'noTSX-IBRS': 3 } },
  Snowridge: { versions: 4 },
  Westmere: { versions: 2, names: { IBRS: 2 } },
  YongFeng: { versions: 2 },
};

/** Those without versions. `base` alone is the same everywhere. */
const plain = ['base', 'host', 'max'];
/** What their names stand for may be another version in another machine. */
const unsafe = ['host', 'max'];

interface ProcessorModel {
  readonly name: string;
  readonly aliasOf?: string;
  /** The same in every release. */
  readonly isStatic: boolean;
  /** A machine that moves finds the same processor under the name. */
  readonly isMigrationSafe: boolean;
}

/** All of them. */
export const processorModels: readonly ProcessorModel[] = [...plain, ...Object.keys(models)].flatMap(
  (name) => {
    const { versions = 0, names = {} } = models[name] ?? {};
    const of = (own: string, version: number): ProcessorModel => ({
      ...describe(own),
      aliasOf: `${name}-v${version}`,
    });
    return [
      versions > 0 ? of(name, 1) : describe(name),
      ...Array.from({ length: versions }, (_, i) => describe(`${name}-v${i + 1}`)),
      ...Object.entries(names).map(([suffix, version]) => of(`${name}-${suffix}`, version)),
    ];
  },
);

function describe(name: string): ProcessorModel {
  return { name, isStatic: name === 'base', isMigrationSafe: !unsafe.includes(name) };
}
