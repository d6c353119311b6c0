/** The colours of a request's phases. */
import type { Part } from '../../lib/timeline';

export const colours: Record<Part['phase'], string> = {
  queue: 'bg-edge',
  load: 'bg-chart-3',
  restore: 'bg-chart-2',
  prefill: 'bg-chart-4',
  decode: 'bg-chart-1',
  open: 'bg-track',
};
