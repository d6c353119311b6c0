/** What is there to say for a moment? */
import { isAbort, sentence } from '../api';

export interface Toast {
  id: number;
  kind: 'note' | 'error';
  text: string;
}

/** Errors stay until they are closed. */
const NOTE_MS = 4000;

class Toasts {
  all = $state<Toast[]>([]);
  #next = 0;

  note(text: string): void {
    const id = this.#add('note', text);
    setTimeout(() => this.close(id), NOTE_MS);
  }

  error(error: unknown): void {
    if (!isAbort(error)) this.#add('error', sentence(error));
  }

  close(id: number): void {
    this.all = this.all.filter((toast) => toast.id !== id);
  }

  #add(kind: Toast['kind'], text: string): number {
    const id = (this.#next += 1);
    // The same sentence is not said twice.
    this.all = [...this.all.filter((toast) => toast.text !== text), { id, kind, text }];
    return id;
  }
}

export const toasts = new Toasts();

/** Does it, and says so where it goes wrong. Whether it went well. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    toasts.error(error);
    return false;
  }
}
