/** Light or dark? */
import { remembered } from '../lib/remembered';

export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const saved = remembered('hearth.theme');
const systemIsDark = matchMedia('(prefers-color-scheme: dark)');

class Themes {
  chosen = $state<Theme>(themes.find((theme) => theme === saved.get()) ?? 'system');
  /** What that comes to. */
  shown = $state<'light' | 'dark'>('light');

  constructor() {
    systemIsDark.addEventListener('change', () => this.#show());
    this.#show();
  }

  choose(theme: Theme): void {
    this.chosen = theme;
    saved.set(theme === 'system' ? null : theme);
    this.#show();
  }

  #show(): void {
    const isDark = this.chosen === 'system' ? systemIsDark.matches : this.chosen === 'dark';
    this.shown = isDark ? 'dark' : 'light';
    document.documentElement.dataset.theme = this.shown;
  }
}

export const theme = new Themes();
