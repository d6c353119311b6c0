/** Arrows, Home and End go through the items of a menu, and around at its ends; Tab leaves it. */
export function moveInMenu(event: KeyboardEvent): void {
  const panel = event.currentTarget as HTMLElement;
  const all = [...panel.querySelectorAll<HTMLElement>('[role="menuitem"]:not(:disabled)')];
  const now = all.indexOf(document.activeElement as HTMLElement);
  const steps: Record<string, number> = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 };
  const next = steps[event.key];
  if (event.key === 'Tab') panel.hidePopover();
  if (next === undefined) return;
  event.preventDefault();
  all.at(next % all.length)?.focus();
}
