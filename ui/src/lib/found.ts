/** The words that a search found, where they stand in a text. */

export interface Piece {
  text: string;
  hit: boolean;
}

/** A word is found by its beginning, in any case. */
export function foundIn(text: string, search: string): Piece[] {
  const words = search.split(/\s+/).filter(Boolean).map(escape);
  if (words.length === 0) return [{ text, hit: false }];
  const begins = new RegExp(`(?<![\\p{L}\\p{N}])((?:${words.join('|')})[\\p{L}\\p{N}]*)`, 'giu');
  // Every second piece is one that was captured.
  return text
    .split(begins)
    .map((piece, at) => ({ text: piece, hit: at % 2 === 1 }))
    .filter((piece) => piece.text !== '');
}

const escape = (word: string): string => word.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
