/** How is the app around this page? null in a browser. */
import { follow } from '../lib/follow';
import { shell, type ShellState } from '../shell';

class ShellStore {
  now = $state.raw<ShellState | null>(null);

  constructor() {
    if (shell) void follow(shell.listen, shell.state, (state) => (this.now = state));
  }
}

export const shellState = new ShellStore();
