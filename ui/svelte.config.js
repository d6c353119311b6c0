/** Svelte strips types by itself; nothing else is preprocessed. */
export default { compilerOptions: { runes: true } };
