/**
 * Markdown that grows. What has been said falls into blocks (paragraphs, lists, code); text that is added can only change the
 * last of them, so the others are found once and stay the same objects.
 */

export interface Block {
  type: string;
  raw: string;
}

/** Finds the blocks of a text, in order; between them may be such of type `space`. */
export type Lexer = (text: string) => Block[];

/** A line that could still become a list, a heading, a rule or a fence; until it is known it would only flicker. */
const UNDECIDED = /(^|\n)[ \t]*(?:[-=*+#>_`~]+|\d+[.)]?)[ \t]*$/;

/** The first rows of a table, which is one once its second row is whole. */
const HALF_TABLE = /^\|[^\n]*(?:\n[|\-: \t]*)?$/;

export class Blocks {
  #closed: Block[] = [];
  #taken = '';
  #lex: Lexer;

  constructor(lex: Lexer) {
    this.#lex = lex;
  }

  /** The blocks of `text`. Until it has ended the last one is open, and what cannot be told yet is held back. */
  update(text: string, ended: boolean): Block[] {
    if (!text.startsWith(this.#taken)) this.#forget();
    const rest = text.slice(this.#taken.length);
    const found = this.#lex(ended ? rest : decided(rest));
    const last = found.findLastIndex(({ type }) => type !== 'space');
    for (const block of found.slice(0, Math.max(0, last))) this.#close(block);
    const open = found[last];
    return open && (ended || !isHalfTable(open)) ? [...this.#closed, open] : [...this.#closed];
  }

  #close(block: Block): void {
    this.#taken += block.raw;
    if (block.type !== 'space') this.#closed.push({ type: block.type, raw: block.raw });
  }

  #forget(): void {
    this.#closed = [];
    this.#taken = '';
  }
}

function decided(text: string): string {
  const hit = UNDECIDED.exec(text);
  return hit ? text.slice(0, hit.index + (hit[1]?.length ?? 0)) : text;
}

const isHalfTable = ({ type, raw }: Block): boolean => type === 'paragraph' && HALF_TABLE.test(raw);

/** What a fence holds, its language, and whether its end has come. */
export interface Fence {
  language: string;
  code: string;
  closed: boolean;
}

export function fenceOf(raw: string): Fence {
  const [, marks = '', language = ''] = /^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`{]*)[^\n]*\n?/.exec(raw) ?? [];
  if (!marks) return { language: '', code: raw.replace(/^(?: {4}|\t)/gm, '').trimEnd(), closed: true };
  const body = raw.slice(raw.indexOf('\n') + 1 || raw.length);
  const end = new RegExp(`(?:^|\\n) {0,3}${marks[0]}{${marks.length},}[ \\t]*\\n*$`).exec(body);
  return { language: language.toLowerCase(), code: end ? body.slice(0, end.index) : body, closed: end !== null };
}
