/** How is the app around this page? null in a browser. */
import { shell, type ShellState } from '../shell';

class ShellStore {
  now = $state.raw<ShellState | null>(null);

  constructor() {
    void this.#follow();
  }

  async #follow(): Promise<void> {
    await shell?.listen((state) => (this.now = state));
    // Asked only now: whatever changes from here on is heard of.
    if (shell) this.now = await shell.state();
  }
}

export const shellState = new ShellStore();
