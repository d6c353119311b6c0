/** The name by which programs call a model, as the server makes it of the name for people. */
export const apiName = (name: string): string => name.trim().toLowerCase().replaceAll(' ', '-');

/** The names in a line with commas between them, each once. */
export const names = (line: string): string[] => [
  ...new Set(line.split(',').map((name) => name.trim()).filter(Boolean)),
];
