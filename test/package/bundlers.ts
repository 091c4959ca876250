/**
 * Bundlers and development servers, each started as one starts it in a new project: without configuration. Those that the
 * repository has itself are tried by each run of the tests, the others (`install`) with BUNDLERS=all.
 */

export interface Bundler {
  readonly name: string;
  /** What is installed for it from the npm registry. Absent: the repository has it. */
  readonly install?: readonly string[];
  /**
   * Whether it takes the page as it is. Otherwise the page's script is given to it as `main.js`, without v86, whose module names
   * modules of Node that these look for: it is loaded by itself.
   */
  readonly takesPage: boolean;
  /** The command that builds into `dist/`. */
  readonly build: readonly string[];
  /** The command that serves the sources, and says where. */
  readonly serve?: readonly string[];
  /** Its configuration for a worker of the page that opens the block layer. Empty: none. Absent: that is not tried. */
  readonly workerOptions?: string;
}

function vite(version: number | undefined): Bundler {
  return {
    name: `vite ${version ?? ''}`.trim(),
    ...(version === undefined ? {} : { install: [`vite@${version}`] }),
    takesPage: true,
    build: ['vite', 'build'],
    serve: ['vite', '--host', '127.0.0.1'],
    // Those before version 8 make no classic worker of what is loaded in parts.
    workerOptions: version === undefined ? '' : "worker: { format: 'es' }",
  };
}

export const bundlers: readonly Bundler[] = [
  vite(undefined),
  {
    name: 'esbuild',
    takesPage: false,
    build: ['esbuild', 'main.js', '--bundle', '--outfile=dist/main.js', '--log-level=error'],
  },
  vite(5),
  vite(6),
  vite(7),
  {
    name: 'webpack 5',
    install: ['webpack@5', 'webpack-cli'],
    takesPage: false,
    build: ['webpack', './main.js', '-o', 'dist', '--mode', 'production'],
  },
  {
    name: 'rollup',
    install: ['rollup', '@rollup/plugin-node-resolve'],
    takesPage: false,
    build: ['rollup', 'main.js', '-d', 'dist', '-p', 'node-resolve'],
  },
  {
    name: 'parcel',
    install: ['parcel'],
    takesPage: false,
    build: ['parcel', 'build', 'index.html', '--dist-dir', 'dist', '--no-cache'],
  },
];
