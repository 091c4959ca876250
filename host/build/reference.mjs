// Writes the reference of the API, dist/reference/, from the declarations that the package has: pages in Markdown, one for each
// thing that is exported, or into the folder that is named. It needs a build, and is made when the package is packed. An export that
// says nothing about itself, or a link that leads nowhere, is an error.
import { register } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

register('./typescript-6.mjs', import.meta.url);

/** `folder` is made anew. */
async function buildReference(root, folder) {
  const { Application } = await import('typedoc');
  const application = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown'],
    tsconfig: join(root, 'host/build/tsconfig.reference.json'),
    entryPoints: ['index', 'library/index'].map((name) => join(root, `dist/types/${name}.d.ts`)),
    out: folder,
    name: 'blockyard',
    readme: 'none',
    disableGit: true,
    disableSources: true,
    excludePrivate: true,
    logLevel: 'Warn',
    validation: { invalidLink: true, notExported: false },
  });
  const project = await application.convert();
  if (project) application.validate(project);
  if (!project || application.logger.hasErrors() || application.logger.hasWarnings())
    throw new Error('The reference cannot be made: see above');
  const silent = undocumented(project);
  if (silent.length > 0) throw new Error(`These exports have no comment: ${silent.join(', ')}`);
  await application.generateOutputs(project);
}

/** Exports that say nothing about themselves. */
function undocumented(project) {
  const exports = project.children.flatMap(({ children }) => children);
  const says = ({ comment, signatures = [] }) =>
    [comment, ...signatures.map((one) => one.comment)].some(Boolean);
  return exports.filter((one) => !one.isReference() && !says(one)).map(({ name }) => name);
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
await buildReference(root, process.argv[2] ?? join(root, 'dist/reference'));
