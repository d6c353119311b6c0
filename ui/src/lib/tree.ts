/**
 * A conversation is a tree of messages, and what shows is one branch of it: from a first message to the leaf. Messages with
 * the same parent are alternatives to each other.
 */
import type { Message } from '../types';

export interface Tree {
  byId: ReadonlyMap<string, Message>;
  /** Those of `null` begin the conversation; oldest first. */
  children: ReadonlyMap<string | null, readonly Message[]>;
}

export function treeOf(messages: readonly Message[]): Tree {
  const children = new Map<string | null, Message[]>();
  for (const message of messages) children.set(message.parent, [...(children.get(message.parent) ?? []), message]);
  return { byId: new Map(messages.map((message) => [message.id, message])), children };
}

/** From the first message to `leaf`; empty where there is no such message. */
export function branchTo({ byId }: Tree, leaf: string | null): Message[] {
  const branch: Message[] = [];
  for (let at = leaf; at !== null; ) {
    const message = byId.get(at);
    if (!message) return [];
    branch.push(message);
    at = message.parent;
  }
  return branch.reverse();
}

/** The message and its alternatives. */
export const alternatives = ({ children }: Tree, message: Pick<Message, 'parent'>): readonly Message[] =>
  children.get(message.parent) ?? [];

/** Where one comes from `from` by always taking the newest answer. */
export function newestLeaf({ children }: Tree, from: string | null): string | null {
  for (let at = from; ; ) {
    const newest = children.get(at)?.at(-1);
    if (!newest) return at;
    at = newest.id;
  }
}

/** The session in which an answer is given, and the one that it is a fork of, where it has to be made first. */
export interface SessionPlan {
  id: string;
  from: string | null;
}

/**
 * The session for an answer to `parent`. A branch that goes on keeps its own; one that leaves another begins as a fork of
 * it under the name `fresh`, so that what both share is still warm.
 */
export function sessionFor(tree: Tree, parent: string, fresh: string): SessionPlan {
  const branch = branchTo(tree, parent);
  const onBranch = new Set(branch.map(({ id }) => id));
  const own = branch.findLast(({ session }) => session !== null)?.session ?? null;
  const answers = [...tree.byId.values()].filter(({ session }) => session !== null);
  if (own !== null && answers.every(({ id, session }) => session !== own || onBranch.has(id))) return { id: own, from: null };
  return { id: fresh, from: own ?? nearest(tree, answers, onBranch)?.session ?? null };
}

/** The one that shares most with the branch. */
function nearest(tree: Tree, answers: Message[], onBranch: ReadonlySet<string>): Message | undefined {
  const shared = (answer: Message) => branchTo(tree, answer.id).filter(({ id }) => onBranch.has(id)).length;
  const best = answers.map((answer) => ({ answer, shared: shared(answer) })).sort((a, b) => b.shared - a.shared)[0];
  return best && best.shared > 0 ? best.answer : undefined;
}
