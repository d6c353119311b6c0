/** Server-sent events as they come: text in pieces, whole events out. */

export interface ServerEvent {
  event: string;
  data: string;
}

/** Takes pieces of a stream and gives the events that they complete. */
export class EventParser {
  #rest = '';

  push(piece: string): ServerEvent[] {
    // A line that ends with CR LF may come in two pieces, so the CR stays until it is known what follows.
    const text = this.#rest + piece;
    const end = text.endsWith('\r') ? text.length - 1 : text.length;
    const blocks = text.slice(0, end).replaceAll('\r\n', '\n').split('\n\n');
    this.#rest = (blocks.pop() ?? '') + text.slice(end);
    return blocks.flatMap(parse);
  }
}

function parse(block: string): ServerEvent[] {
  let event = 'message';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const [, field, value] = /^(\w+):? ?(.*)$/.exec(line) ?? [];
    if (field === 'event' && value) event = value;
    if (field === 'data') data.push(value ?? '');
  }
  return data.length > 0 ? [{ event, data: data.join('\n') }] : [];
}
