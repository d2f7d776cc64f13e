/** Small things about words. */

/** For names of files and anchors. */
export function slug(words: string): string {
  return words
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}

export function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
