/** Calls `load` now and then again and again, while the page can be seen, until the function that this gives is called. */
export function poll(load: () => Promise<void>, everyMs: number): () => void {
  void load();
  const timer = setInterval(() => document.hidden || void load(), everyMs);
  return () => clearInterval(timer);
}
