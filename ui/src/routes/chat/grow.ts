/** A field of text that is as tall as what is written in it; `text` is read so that it grows with it. */
export const grow = (text: () => string) => (area: HTMLTextAreaElement) => {
  text();
  area.style.height = 'auto';
  area.style.height = `${area.scrollHeight}px`;
};
