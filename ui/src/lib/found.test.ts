import { expect, test } from 'vitest';
import { foundIn } from './found';

const marked = (text: string, search: string) =>
  foundIn(text, search)
    .map((piece) => (piece.hit ? `[${piece.text}]` : piece.text))
    .join('');

test.each([
  ['Old boats float', 'boat', 'Old [boats] float'],
  ['Old boats float', 'FLO old', '[Old] boats [float]'],
  ['Old boats', 'oats', 'Old boats'],
  ['Où est le café?', 'café', 'Où est le [café]?'],
  ['a (b) c', '(', 'a [(b]) c'],
  ['so-called', 'so-', '[so-called]'],
  ['nothing', ' ', 'nothing'],
])('in %j %j finds %j', (text, search, found) => expect(marked(text, search)).toBe(found));
