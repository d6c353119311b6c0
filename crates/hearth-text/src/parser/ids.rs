//! Ids of tool calls: random, so that they are unique in a conversation that outlives the server, and without a clock.

use std::hash::{BuildHasher, RandomState};

/// One answer's source of ids.
#[derive(Default)]
pub(super) struct Ids {
    seed: RandomState,
    count: u64,
}

impl Ids {
    /// `call_` and 24 hexadecimal digits.
    pub(super) fn next(&mut self) -> String {
        self.count += 1;
        let low = self.seed.hash_one((self.count, 'l'));
        let high = self.seed.hash_one((self.count, 'h')) as u32;
        format!("call_{high:08x}{low:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_within_and_between_answers() {
        let ids: HashSet<String> = (0..50)
            .flat_map(|_| {
                let mut ids = Ids::default();
                [ids.next(), ids.next()]
            })
            .collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 29 && id.starts_with("call_")));
    }
}
