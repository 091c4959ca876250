// Has typedoc, which reads declarations by the compiler's API, get the last TypeScript that has one. All else uses the newest.

export function resolve(specifier, context, next) {
  return next(specifier === 'typescript' ? 'typescript-6' : specifier, context);
}
