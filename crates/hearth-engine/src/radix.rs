//! A radix trie over token ids: which of many token lists share how much with a given one.
//!
//! Edges hold runs of tokens, so a lookup costs the length of what is shared, not the number of lists. Nodes lie in one
//! vector and are walked in loops: a conversation of ten thousand turns is a path of as many nodes.

/// What hangs at a node.
pub(crate) type Key = u64;

const ROOT: usize = 0;

/// The trie. Lists may be equal to or prefixes of each other.
#[derive(Debug)]
pub(crate) struct Radix {
    nodes: Vec<Node>,
    /// Places in `nodes` that are not in use.
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Node {
    parent: usize,
    /// Tokens between the parent and this node; empty at the root alone.
    edge: Vec<u32>,
    /// Tokens between the root and this node.
    depth: usize,
    /// No two of their edges begin with the same token.
    children: Vec<usize>,
    keys: Vec<Key>,
}

/// The nodes that a token list runs through.
#[derive(Debug)]
pub(crate) struct Path {
    /// From the root on, with how many of the list's tokens lead to it; in the last one's edge the list may end or part.
    steps: Vec<(usize, usize)>,
}

impl Default for Radix {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new() }
    }
}

impl Radix {
    /// Adds `key` at `tokens`; its node, which stays the same until it is removed.
    pub(crate) fn insert(&mut self, tokens: &[u32], key: Key) -> usize {
        let path = self.path(tokens);
        let &(last, common) = path.steps.last().expect("a path begins at the root");
        let above = if common < self.nodes[last].depth { self.split(last, common) } else { last };
        let node = if common < tokens.len() { self.add_child(above, tokens, common) } else { above };
        self.nodes[node].keys.push(key);
        node
    }

    /// Removes `key` from the node where it was added.
    pub(crate) fn remove(&mut self, node: usize, key: Key) {
        self.nodes[node].keys.retain(|&other| other != key);
        self.prune(node);
    }

    /// Where `tokens` leads.
    pub(crate) fn path(&self, tokens: &[u32]) -> Path {
        let mut steps = vec![(ROOT, 0)];
        let (mut node, mut at) = (ROOT, 0);
        while at == self.nodes[node].depth
            && let Some(child) = tokens.get(at).and_then(|&token| self.child(node, token))
        {
            at += common(&self.nodes[child].edge, &tokens[at..]);
            steps.push((child, at));
            node = child;
        }
        Path { steps }
    }

    /// All keys by what their lists share with the path's, most first: at each place how many tokens, and the keys.
    pub(crate) fn near<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (usize, Vec<Key>)> + 'a {
        let steps = path.steps.iter().enumerate().rev();
        steps.map(|(at, &(node, common))| {
            let passed = path.steps.get(at + 1).map(|&(node, _)| node);
            (common, self.below(node, passed))
        })
    }

    /// The keys of the lists that are prefixes of the path's, or equal to it, shortest first.
    pub(crate) fn prefixes(&self, path: &Path) -> Vec<Key> {
        let whole = path.steps.iter().filter(|&&(node, common)| common == self.nodes[node].depth);
        whole.flat_map(|&(node, _)| self.nodes[node].keys.iter().copied()).collect()
    }

    /// The list that leads to `node`.
    pub(crate) fn tokens(&self, node: usize) -> Vec<u32> {
        let mut edges = Vec::new();
        let mut at = node;
        while at != ROOT {
            edges.push(&self.nodes[at].edge);
            at = self.nodes[at].parent;
        }
        edges.into_iter().rev().flatten().copied().collect()
    }

    /// Keys at `node` and below, but for those of its child `passed`.
    fn below(&self, node: usize, passed: Option<usize>) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut open = vec![node];
        while let Some(at) = open.pop() {
            keys.extend(&self.nodes[at].keys);
            open.extend(self.nodes[at].children.iter().filter(|&&child| Some(child) != passed));
        }
        keys
    }

    fn child(&self, node: usize, token: u32) -> Option<usize> {
        self.nodes[node].children.iter().copied().find(|&child| self.nodes[child].edge[0] == token)
    }

    fn add_child(&mut self, parent: usize, tokens: &[u32], from: usize) -> usize {
        let edge = tokens[from..].to_vec();
        let node = self.add(Node { parent, edge, depth: tokens.len(), ..Node::default() });
        self.nodes[parent].children.push(node);
        node
    }

    /// Puts a node into the edge of `node`, `depth` tokens below the root.
    fn split(&mut self, node: usize, depth: usize) -> usize {
        let Node { parent, depth: end, .. } = self.nodes[node];
        let keep = self.nodes[node].edge.len() - (end - depth);
        let lower = self.nodes[node].edge.split_off(keep);
        let edge = std::mem::replace(&mut self.nodes[node].edge, lower);
        let upper = self.add(Node { parent, edge, depth, children: vec![node], keys: Vec::new() });
        self.nodes[node].parent = upper;
        self.replace_child(parent, node, upper);
        upper
    }

    /// Takes nodes out that lead nowhere, or only on.
    fn prune(&mut self, mut node: usize) {
        while node != ROOT && self.nodes[node].keys.is_empty() {
            let parent = self.nodes[node].parent;
            match self.nodes[node].children[..] {
                [] => self.nodes[parent].children.retain(|&child| child != node),
                [only] => self.join(node, only),
                _ => return,
            }
            self.nodes[node] = Node::default();
            self.free.push(node);
            node = parent;
        }
    }

    /// Lengthens the edge of `child` by that of its parent `node`, which goes.
    fn join(&mut self, node: usize, child: usize) {
        let Node { parent, mut edge, .. } = std::mem::take(&mut self.nodes[node]);
        edge.append(&mut self.nodes[child].edge);
        self.nodes[child].edge = edge;
        self.nodes[child].parent = parent;
        self.replace_child(parent, node, child);
    }

    fn replace_child(&mut self, parent: usize, old: usize, new: usize) {
        let child = self.nodes[parent].children.iter_mut().find(|child| **child == old);
        *child.expect("a node is among its parent's children") = new;
    }

    fn add(&mut self, node: Node) -> usize {
        match self.free.pop() {
            Some(at) => {
                self.nodes[at] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }
}

/// How many tokens two lists begin with in common.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Numbers that look random and come again for the same seed.
    pub(crate) fn random(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        }
    }

    #[test]
    fn a_trie_knows_what_a_list_of_lists_knows() {
        for seed in 1..=40 {
            let mut next = random(seed);
            let mut trie = Radix::default();
            let mut all: Vec<(Vec<u32>, Key, usize)> = Vec::new();
            for key in 0..300 {
                let tokens: Vec<u32> = (0..next(12)).map(|_| next(3) as u32).collect();
                if next(3) == 0 && !all.is_empty() {
                    let (_, key, node) = all.swap_remove(next(all.len() as u64) as usize);
                    trie.remove(node, key);
                } else {
                    let node = trie.insert(&tokens, key);
                    all.push((tokens.clone(), key, node));
                }
                check(&trie, &all, &tokens, seed);
            }
            for (_, key, node) in all.drain(..) {
                trie.remove(node, key);
            }
            assert_eq!(trie.nodes.len() - trie.free.len(), 1, "seed {seed}: nothing but the root is left");
        }
    }

    fn check(trie: &Radix, all: &[(Vec<u32>, Key, usize)], tokens: &[u32], seed: u64) {
        let path = trie.path(tokens);
        let mut found: Vec<(usize, Key)> =
            trie.near(&path).flat_map(|(common, keys)| keys.into_iter().map(move |key| (common, key))).collect();
        assert!(found.is_sorted_by(|a, b| a.0 >= b.0), "seed {seed}: most first");
        let mut expected: Vec<_> = all.iter().map(|(list, key, _)| (common(list, tokens), *key)).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "seed {seed}, {tokens:?}");
        let mut prefixes = trie.prefixes(&path);
        let mut expected: Vec<_> =
            all.iter().filter(|(list, ..)| tokens.starts_with(list)).map(|(_, key, _)| *key).collect();
        prefixes.sort_unstable();
        expected.sort_unstable();
        assert_eq!(prefixes, expected, "seed {seed}, {tokens:?}");
        for (list, _, node) in all {
            assert_eq!(trie.tokens(*node), *list, "seed {seed}");
        }
    }
}
