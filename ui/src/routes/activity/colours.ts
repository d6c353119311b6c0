/** The colours of series that lie on top of each other: the name of each, and the class of its dot. */
export const layerColours = [
  { name: '--chart-1', dot: 'bg-chart-1' },
  { name: '--chart-4', dot: 'bg-chart-4' },
  { name: '--chart-2', dot: 'bg-chart-2' },
  { name: '--chart-3', dot: 'bg-chart-3' },
  { name: '--chart-5', dot: 'bg-chart-5' },
];
