import { expect, test } from 'vitest';
import { asSentence, bytes, bytesOf, context, count, duration, milliseconds } from './format';

test.each([
  [0, '0 bytes'],
  [999, '999 bytes'],
  [1_507_389, '1.5 MB'],
  [277_996_288, '278 MB'],
  [999_499_000, '999 MB'],
  [999_960_000, '1.0 GB'],
  [18_957_382_656, '19.0 GB'],
])('%d bytes are %s', (given, shown) => expect(bytes(given)).toBe(shown));

test.each([
  [93_500_000, 335_000_000, '93.5 of 335 MB'],
  [93_500_000, 2_300_000_000, '93.5 MB of 2.3 GB'],
])('%d of %d bytes are %s', (done, total, shown) => expect(bytesOf(done, total)).toBe(shown));

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
  [12_345, '12.3k'],
  [494_032_768, '494M'],
  [999_885_952, '1B'],
  [4_022_468_096, '4B'],
  [116_829_149_760, '117B'],
])('%d is %s', (given, shown) => expect(count(given)).toBe(shown));

test.each([
  [512, '512'],
  [2048, '2K'],
  [32_768, '32K'],
  [131_072, '128K'],
])('a context of %d is %s', (given, shown) => expect(context(given)).toBe(shown));

test.each([
  ['this version does not run `mamba`', 'This version does not run `mamba`.'],
  ['The disk is full.', 'The disk is full.'],
  ['config.json is cut short', 'config.json is cut short.'],
])('%j is %j', (given, shown) => expect(asSentence(given)).toBe(shown));
