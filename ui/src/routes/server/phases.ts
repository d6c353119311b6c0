/** The colours of a request's phases. */
import type { Part } from '../../lib/timeline';

export const colours: Record<Part['phase'], string> = {
  queue: 'bg-edge',
  load: 'bg-warn',
  restore: 'bg-good',
  prefill: 'bg-faint',
  decode: 'bg-accent',
  open: 'bg-track',
};
