import { expect, test } from 'vitest';
import { byDay, dayOf } from './days';

const now = new Date(2026, 5, 15, 14, 30).getTime();

test.each([
  ['today', new Date(2026, 5, 15, 0, 0)],
  ['today', new Date(2026, 5, 15, 14, 31)],
  ['yesterday', new Date(2026, 5, 14, 23, 59)],
  ['yesterday', new Date(2026, 5, 14, 0, 1)],
  ['week', new Date(2026, 5, 13, 23, 0)],
  ['week', new Date(2026, 5, 8, 12, 0)],
  ['month', new Date(2026, 5, 1, 12, 0)],
  ['older', new Date(2025, 5, 15, 12, 0)],
])('%s: %s', (day, at) => expect(dayOf(at.getTime(), now)).toBe(day));

test('groups keep the order', () => {
  const at = (day: number) => new Date(2026, 5, day, 12).getTime();
  expect(byDay([15, 14, 13, 12], at, now)).toEqual([
    { day: 'today', items: [15] },
    { day: 'yesterday', items: [14] },
    { day: 'week', items: [13, 12] },
  ]);
});
