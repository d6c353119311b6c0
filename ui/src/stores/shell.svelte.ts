/** How is the app around this page? null in a browser. */
import { shell, type ShellState } from '../shell';

class ShellStore {
  now = $state.raw<ShellState | null>(null);

  constructor() {
    void shell?.listen((state) => (this.now = state));
    void shell?.state().then((state) => (this.now = state));
  }
}

export const shellState = new ShellStore();
