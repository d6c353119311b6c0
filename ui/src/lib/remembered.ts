/** A text that this browser remembers; where it may not, it lasts as long as the page. */
export function remembered(name: string): { get(): string | null; set(value: string | null): void } {
  let value: string | null = null;
  try {
    value = localStorage.getItem(name);
  } catch {
    // Storage is forbidden here.
  }
  return {
    get: () => value,
    set(next) {
      value = next;
      try {
        if (next === null) localStorage.removeItem(name);
        else localStorage.setItem(name, next);
      } catch {
        // As above.
      }
    },
  };
}
