/** Whoever reads poorly reads this too: text stands out 4.5:1 from what it lies on, in both themes. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const css = readFileSync(new URL('../tokens.css', import.meta.url), 'utf8');

const themes = [...css.matchAll(/data-theme='(\w+)'\] \{([^}]*)\}/g)].map(([, name, body = '']) => ({
  name,
  colours: Object.fromEntries([...body.matchAll(/--([\w-]+): (#\w{6});/g)].map(([, key, value]) => [key, value])),
}));

const surfaces = ['window', 'sidebar', 'card', 'hover'];
const pairs = [
  ...surfaces.flatMap((surface) => ['text', 'muted', 'faint', 'accent', 'bad'].map((text) => [text, surface])),
  ...['accent', 'good', 'warn', 'bad'].map((text) => [text, `${text}-soft`]),
  ['on-accent', 'accent'],
  ['on-accent', 'accent-press'],
  ['on-bad', 'bad-solid'],
  ['on-bad', 'bad-press'],
  ['faint', 'field'],
  ['text', 'chosen'],
] as [string, string][];

const channel = (value: number) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);

/** As WCAG 2.2 defines it. */
function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => channel(parseInt(hex.slice(at, at + 2), 16) / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

test('both themes are read', () => expect(themes.map(({ name }) => name)).toEqual(['light', 'dark']));

test.each(themes.flatMap(({ name, colours }) => pairs.map(([text, surface]) => ({ name, text, surface, colours }))))(
  '$name: $text on $surface',
  ({ colours, text, surface }) => {
    expect(contrast(colours[text] ?? '', colours[surface] ?? '')).toBeGreaterThanOrEqual(4.5);
  },
);
