/** Things by the day on which they were last touched, as a person would say it. */

export type Day = 'today' | 'yesterday' | 'week' | 'month' | 'older';

const DAY_MS = 86_400_000;

/** Which of them `at` is, seen from `now`; both in milliseconds. Days begin at midnight where the reader is. */
export function dayOf(at: number, now: number): Day {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const days = Math.ceil((midnight - at) / DAY_MS);
  if (days <= 0) return 'today';
  if (days === 1) return 'yesterday';
  return days <= 7 ? 'week' : days <= 30 ? 'month' : 'older';
}

/** In groups, without changing their order. */
export function byDay<Item>(items: readonly Item[], timeOf: (item: Item) => number, now: number): { day: Day; items: Item[] }[] {
  const groups: { day: Day; items: Item[] }[] = [];
  for (const item of items) {
    const day = dayOf(timeOf(item), now);
    const group = groups.at(-1);
    if (group?.day === day) group.items.push(item);
    else groups.push({ day, items: [item] });
  }
  return groups;
}
