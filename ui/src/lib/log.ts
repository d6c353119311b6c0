/** A line of the server's log, taken apart. */

export const levels = ['error', 'warn', 'info', 'debug', 'trace'] as const;
export type Level = (typeof levels)[number];

export interface Line {
  /** Milliseconds since 1970; null where the line does not say. */
  at: number | null;
  /** Lines that go on from the one before have its level. */
  level: Level;
  text: string;
}

const HUMAN = /^(\d{4}-\d\d-\d\dT[\d:.]+Z)\s+(ERROR|WARN|INFO|DEBUG|TRACE)\s+(.*)$/s;

/** What this page itself asks for, again and again. */
const OWN = /^GET \/admin\/v1\/\S* 200 /;

export function linesOf(raw: readonly string[]): Line[] {
  let level: Level = 'info';
  const lines = raw.map((text) => {
    const line = human(text) ?? json(text) ?? { at: null, level, text };
    level = line.level;
    return line;
  });
  return lines.filter(({ text }) => !OWN.test(text));
}

function human(raw: string): Line | null {
  const [, at, level, text] = HUMAN.exec(raw) ?? [];
  return at && level ? { at: Date.parse(at), level: level.toLowerCase() as Level, text: text ?? '' } : null;
}

interface Entry {
  timestamp: string;
  level: string;
  fields?: Record<string, unknown>;
}

/** Of `--log-format json`. */
function json(raw: string): Line | null {
  if (!raw.startsWith('{')) return null;
  try {
    const { timestamp, level, fields: { message = '', ...fields } = {} } = JSON.parse(raw) as Entry;
    const rest = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    return { at: Date.parse(timestamp), level: level.toLowerCase() as Level, text: [message, ...rest].join(' ') };
  } catch {
    return null;
  }
}

/** Those that are as grave as `least`, or graver. */
export const atLeast = (lines: readonly Line[], least: Level): Line[] =>
  lines.filter(({ level }) => levels.indexOf(level) <= levels.indexOf(least));
