import { expect, test } from 'vitest';
import { guessHeight } from './height';

test('long lines wrap, and empty ones are half as tall', () => {
  expect(guessHeight('one')).toBe(77);
  expect(guessHeight('x'.repeat(200))).toBe(guessHeight('a\nb\nc'));
  expect(guessHeight('a\n\nb')).toBeLessThan(guessHeight('a\nb\nc'));
});
