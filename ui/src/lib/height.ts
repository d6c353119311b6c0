/**
 * How tall a message will be, guessed from its text. The browser skips what is out of sight, and takes this until it has
 * drawn it once; the nearer the guess, the less the scroll bar moves.
 */
const LINE = 21;
const AROUND = 56;

/** In pixels, where `columns` characters fit a line. */
export function guessHeight(text: string, columns = 88): number {
  let lines = 0;
  for (const line of text.split('\n')) lines += Math.max(line === '' ? 0.5 : 1, Math.ceil(line.length / columns));
  return Math.round(AROUND + lines * LINE);
}
