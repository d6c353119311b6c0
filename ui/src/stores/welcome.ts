/** Was the guide shown in this browser? */
import { remembered } from '../lib/remembered';

const saved = remembered('hearth.welcomed');

export const welcome = {
  get isDue(): boolean {
    return saved.get() === null;
  },
  shown(): void {
    saved.set('yes');
  },
};
