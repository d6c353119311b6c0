import { marked } from 'marked';
import { expect, test } from 'vitest';
import { Blocks, fenceOf } from './blocks';

const lex = (text: string) => marked.lexer(text);

const TEXT = [
  '# Tea\n\nTwo kinds:\n- green\n- black\n\n  with milk\n\n',
  '1. boil\n\n2. pour\n\n',
  '```py\nprint("- a")\n\n# not a heading\n```\n\n',
  '| leaf | minutes |\n| --- | ---: |\n| green | 2 |\n\n',
  '> quoted\n> twice\n\nLast **words**.',
].join('');

const raws = (blocks: { raw: string }[]) => blocks.map(({ raw }) => raw.trim());
const whole = raws(new Blocks(lex).update(TEXT, true));

test('a text falls into its blocks', () => {
  expect(whole.map((raw) => raw.split('\n')[0])).toEqual([
    '# Tea',
    'Two kinds:',
    '- green',
    '1. boil',
    '```py',
    '| leaf | minutes |',
    '> quoted',
    'Last **words**.',
  ]);
});

test('however it comes, the same blocks come out', () => {
  for (let size = 1; size <= 40; size += 1) {
    const blocks = new Blocks(lex);
    for (let end = size; end < TEXT.length; end += size) blocks.update(TEXT.slice(0, end), false);
    expect(raws(blocks.update(TEXT, true))).toEqual(whole);
  }
});

test('a block that is closed stays the same object', () => {
  const blocks = new Blocks(lex);
  const [first] = blocks.update('One.\n\nTwo', false);
  expect(blocks.update('One.\n\nTwo and three.\n\nFour', false)[0]).toBe(first);
});

test('another text begins anew', () => {
  const blocks = new Blocks(lex);
  blocks.update('One.\n\nTwo', false);
  expect(raws(blocks.update('Other.\n\nText', true))).toEqual(['Other.', 'Text']);
});

test.each([
  ['a dash under a paragraph', 'Kinds:\n-', ['Kinds:']],
  ['a number alone', 'Steps:\n\n1.', ['Steps:']],
  ['the head of a table', 'See:\n\n| a | b |\n| --', ['See:']],
  ['two stars', 'So\n\n**', ['So']],
])('%s does not show until it is known what it is', (_, text, shown) => {
  expect(raws(new Blocks(lex).update(text, false))).toEqual(shown);
});

test.each([
  ['```py\na = 1\n', { language: 'py', code: 'a = 1\n', closed: false }],
  ['```py\na = 1\n```', { language: 'py', code: 'a = 1', closed: true }],
  ['````\n```\n````\n', { language: '', code: '```', closed: true }],
  ['~~~Rust title\nlet a;\n~~~', { language: 'rust', code: 'let a;', closed: true }],
  ['```', { language: '', code: '', closed: false }],
  ['```py\n```', { language: 'py', code: '', closed: true }],
  ['    indented\n    twice', { language: '', code: 'indented\ntwice', closed: true }],
])('the fence %j', (raw, fence) => expect(fenceOf(raw)).toEqual(fence));
