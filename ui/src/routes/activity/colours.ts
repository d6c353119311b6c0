/** The colours of series that lie on top of each other: the name of each, and the class of its dot. */
export const layerColours = [
  { name: '--accent', dot: 'bg-accent' },
  { name: '--good', dot: 'bg-good' },
  { name: '--warn', dot: 'bg-warn' },
  { name: '--faint', dot: 'bg-faint' },
  { name: '--bad', dot: 'bg-bad' },
];
