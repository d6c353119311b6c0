//! Looking for a marker in text that is still arriving.

/// Where the longest ending of `text` starts that may be the beginning of `marker`; `text.len()` if there is none.
pub(super) fn possible(text: &str, marker: &str) -> usize {
    let from = text.len().saturating_sub(marker.len() - 1);
    let begins = |at: &usize| marker.as_bytes().starts_with(&text.as_bytes()[*at..]);
    (from..text.len()).find(begins).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ending_that_begins_the_marker_counts() {
        for (text, at) in [("", 0), ("a", 1), ("a<", 1), ("a</thin", 1), ("a</think>", 9), ("a<</", 2), ("é<x", 4)] {
            assert_eq!(possible(text, "</think>"), at, "{text}");
        }
    }
}
