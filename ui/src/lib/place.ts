/** Where something that pops up lies: below what opened it if there is room, else above, and never out of the window. */

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

type Size = Pick<Box, 'width' | 'height'>;

const GAP = 4;
const EDGE = 8;

export function place(anchor: Box, size: Size, room: Size, align: 'start' | 'end'): { left: number; top: number } {
  const left = align === 'start' ? anchor.left : anchor.left + anchor.width - size.width;
  const below = anchor.top + anchor.height + GAP;
  const above = anchor.top - GAP - size.height;
  const fitsBelow = below + size.height <= room.height - EDGE;
  return {
    left: within(left, room.width - size.width),
    top: within(fitsBelow || above < EDGE ? below : above, room.height - size.height),
  };
}

const within = (at: number, most: number): number => Math.max(EDGE, Math.min(at, most - EDGE));
