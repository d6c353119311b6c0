import { expect, test } from 'vitest';
import { bytesOfGigabytes, gigabytes, port } from './quantity';

test.each([
  ['', null],
  ['0', 0],
  ['12', 12e9],
  [' 1,5 GB', 1.5e9],
  ['-1', NaN],
  ['much', NaN],
  ['1e400', NaN],
])('%j GB are %d bytes', (text, expected) => expect(bytesOfGigabytes(text)).toBe(expected));

test.each([
  [null, ''],
  [0, '0'],
  [18_957_382_656, '18.96'],
])('%d bytes are typed as %j', (bytes, expected) => expect(gigabytes(bytes)).toBe(expected));

test.each([
  ['', null],
  ['8080', 8080],
  ['80', NaN],
  ['65536', NaN],
  ['80.5', NaN],
  ['http', NaN],
])('port %j is %d', (text, expected) => expect(port(text)).toBe(expected));
