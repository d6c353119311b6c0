/** What is asked of the model: the whole branch, in OpenAI's form. */
import type { ChatMessage, ChatRequest, Message, Sampling } from '../types';

interface Asked {
  model: string;
  system: string | null;
  sampling: Sampling | null;
  session: string;
}

export function requestOf({ model, system, sampling, session }: Asked, branch: readonly Message[]): ChatRequest {
  const start: ChatMessage[] = system?.trim() ? [{ role: 'system', content: system }] : [];
  return { ...sampling, model, session_id: session, messages: [...start, ...turns(branch)] };
}

/** Two questions in a row, of which the first got no answer, are one: many templates want turns to alternate. */
function turns(branch: readonly Message[]): ChatMessage[] {
  const said: ChatMessage[] = [];
  for (const message of branch.filter(isSaid)) {
    const last = said.at(-1);
    if (last?.role === 'user' && message.role === 'user') last.content = `${last.content}\n\n${message.content}`;
    else said.push(turn(message, said));
  }
  return said;
}

const isSaid = ({ content, tool_calls: calls }: Message): boolean => content !== '' || Boolean(calls?.length);

function turn({ role, content, reasoning, tool_calls: calls }: Message, before: readonly ChatMessage[]): ChatMessage {
  if (role === 'tool') return { role, content, tool_call_id: before.findLast((one) => one.tool_calls)?.tool_calls?.[0]?.id ?? '' };
  return {
    role,
    content,
    ...(reasoning ? { reasoning_content: reasoning } : {}),
    ...(calls?.length ? { tool_calls: calls } : {}),
  };
}

/** The tokens that a branch takes, as its last whole answer counted them; 0 where none did. */
export const tokensOf = (branch: readonly Message[]): number =>
  branch.findLast(({ report }) => report?.usage)?.report?.usage?.total_tokens ?? 0;
