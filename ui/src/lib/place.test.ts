import { expect, test } from 'vitest';
import { place } from './place';

const room = { width: 400, height: 300 };
const size = { width: 120, height: 100 };
const at = (left: number, top: number) => ({ left, top, width: 30, height: 20 });

test.each([
  ['below, from its left edge', at(50, 50), 'start', { left: 50, top: 74 }],
  ['below, to its right edge', at(200, 50), 'end', { left: 110, top: 74 }],
  ['above where there is no room below', at(50, 250), 'start', { left: 50, top: 146 }],
  ['inside the window at the right', at(380, 50), 'start', { left: 272, top: 74 }],
  ['inside the window at the left', at(0, 50), 'end', { left: 8, top: 74 }],
] as const)('%s', (_, anchor, align, expected) => expect(place(anchor, size, room, align)).toEqual(expected));

test('what is too tall for either side stays in the window', () => {
  expect(place(at(50, 140), { width: 120, height: 200 }, room, 'start').top).toBe(92);
});
