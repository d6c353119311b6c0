/** Numbers as people read them. */

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

/** Powers of 1000, as the Finder and the server count. */
export function bytes(count: number): string {
  // From 999.5 MB on it is rounded to 1.0 GB.
  const step = UNITS.findIndex((_, step) => count < 999.5 * 1000 ** step || step === UNITS.length - 1);
  const value = count / 1000 ** step;
  return `${value.toFixed(step === 0 || value >= 99.95 ? 0 : 1)} ${UNITS[step]}`;
}

/** Of which so much is there: `93 of 335 MB`. */
export function bytesOf(done: number, total: number): string {
  const [all, unit] = [bytes(total), bytes(total).split(' ')[1]];
  const [number, own] = bytes(done).split(' ');
  return own === unit ? `${number} of ${all}` : `${number} ${own} of ${all}`;
}

export const speed = (bytesPerSecond: number): string => `${bytes(bytesPerSecond)}/s`;

/** Two units at most: `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return two(Math.floor(whole / 60), 'min', whole % 60, 's');
  if (whole < 86_400) return two(Math.floor(whole / 3600), 'h', Math.floor((whole % 3600) / 60), 'min');
  return two(Math.floor(whole / 86_400), 'd', Math.floor((whole % 86_400) / 3600), 'h');
}

const two = (large: number, unit: string, small: number, smaller: string): string =>
  small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smaller}`;

/** `340 ms`, `1.2 s`, then as `duration`. */
export function milliseconds(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 59_950 ? `${(ms / 1000).toFixed(1)} s` : duration(ms / 1000);
}

/** Of counts: `950`, `12.3k`, `4B`. */
export function count(number: number): string {
  const [divisor, unit] =
    number >= 999.5e6 ? [1e9, 'B'] : number >= 999.5e3 ? [1e6, 'M'] : number >= 1e4 ? [1e3, 'k'] : [1, ''];
  return `${trim(number / divisor)}${unit}`;
}

/** Context lengths, which are counted in powers of two: `8K`, `128K`. */
export const context = (tokens: number): string =>
  tokens >= 1024 ? `${trim(Math.round(tokens / 102.4) / 10)}K` : String(tokens);

const trim = (value: number): string => String(Number(value >= 100 ? value.toFixed(0) : value.toFixed(1)));

export const percent = (share: number): string => `${Math.round(share * 100)}%`;

/** A reason as the server gives it, made a sentence. */
export function asSentence(reason: string): string {
  // What begins with a file's name begins as that does.
  const text = /^[a-z]+ /.test(reason) ? reason.charAt(0).toUpperCase() + reason.slice(1) : reason;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
