/** How long to wait before trying again: twice as long each time, up to ten seconds. */
export const backoff = (failures: number): number => Math.min(10_000, 250 * 2 ** failures);

/** Waits, unless it is told to stop. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
