/** Is what draws charts here yet? */
import { lazy } from '../lib/lazy.svelte';

export const charts = lazy(async () => {
  const [{ default: uPlot }] = await Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css')]);
  return uPlot;
});
