/** What kind of failure ended an answer, for what is offered then. */

export type Failure = 'model' | 'memory' | 'context' | 'server' | 'other';

const KINDS: Record<string, Failure> = {
  model_not_found: 'model',
  model_load_failed: 'model',
  out_of_memory: 'memory',
  context_length_exceeded: 'context',
};

/** Of an error with the server's `code`; a `status` of 0 is none at all. */
export const failureOf = ({ status, code }: { status: number; code: string | null }): Failure =>
  KINDS[code ?? ''] ?? (status === 0 ? 'server' : 'other');
