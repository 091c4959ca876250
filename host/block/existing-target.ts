/** What is said of a protocol whose images cannot be made but only used again, when there is none to be used. */
export function existingTargetFailed(driver: string): string {
  return (
    `Protocol driver '${driver}' does not support creating new images, so an existing image must be selected as ` +
    'the target; however, opening the given target as an existing image failed'
  );
}
