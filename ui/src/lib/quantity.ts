/** Amounts as people type them, and back. Empty is the default (null), what is no amount is NaN. */

const GB = 1e9;

export const gigabytes = (bytes: number | null): string => (bytes === null ? '' : String(Math.round(bytes / 1e7) / 100));

export function bytesOfGigabytes(text: string): number | null {
  if (text.trim() === '') return null;
  // A comma is the decimal point of half the world.
  const value = Number(text.trim().replace(/\s*GB$/i, '').replace(',', '.'));
  return value >= 0 && Number.isFinite(value) ? Math.round(value * GB) : NaN;
}

/** A port that a program may take without being root. */
export function port(text: string): number | null {
  if (text.trim() === '') return null;
  const value = Number(text);
  return Number.isInteger(value) && value >= 1024 && value <= 65_535 ? value : NaN;
}
