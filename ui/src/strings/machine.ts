/** The machine, as its owner calls it. */
export const machine = navigator.platform.startsWith('Mac') ? 'this Mac' : 'this computer';
