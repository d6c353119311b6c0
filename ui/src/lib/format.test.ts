import { expect, test } from 'vitest';
import { bytes, context, count, duration, milliseconds } from './format';

test.each([
  [0, '0 bytes'],
  [999, '999 bytes'],
  [1_507_389, '1.5 MB'],
  [277_996_288, '278 MB'],
  [999_960_000, '1000 MB'],
  [18_957_382_656, '19.0 GB'],
])('%d bytes are %s', (given, shown) => expect(bytes(given)).toBe(shown));

test.each([
  [0, '0 s'],
  [59.4, '59 s'],
  [200, '3 min 20 s'],
  [3600, '1 h'],
  [7500, '2 h 5 min'],
  [273_600, '3 d 4 h'],
])('%d seconds are %s', (given, shown) => expect(duration(given)).toBe(shown));

test.each([
  [0.4, '0 ms'],
  [999, '999 ms'],
  [1234, '1.2 s'],
  [59_960, '1 min'],
])('%d milliseconds are %s', (given, shown) => expect(milliseconds(given)).toBe(shown));

test.each([
  [950, '950'],
  [12_345, '12.3 k'],
  [494_032_768, '494 M'],
  [4_022_468_096, '4 B'],
  [116_829_149_760, '117 B'],
])('%d is %s', (given, shown) => expect(count(given)).toBe(shown));

test.each([
  [512, '512'],
  [2048, '2K'],
  [32_768, '32K'],
  [131_072, '128K'],
])('a context of %d is %s', (given, shown) => expect(context(given)).toBe(shown));
