//! Stop texts with hold-back: a stop text never shows, not even its beginning.
//!
//! The answer is cut at the stop text that is *completed* first (of two that end together, the longer), so the result
//! does not depend on how the text was cut into pieces.

/// Watches one answer for its stop texts.
#[derive(Debug, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    /// Text that may be the beginning of a stop text.
    held: String,
    stopped: bool,
}

/// What a piece of text came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StopOutcome {
    /// Text that is certain to be part of the answer.
    pub text: String,
    /// Whether a stop text was met: the answer is over.
    pub stopped: bool,
}

impl StopMatcher {
    /// Empty stop texts are ignored.
    pub fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        Self { stops, ..Self::default() }
    }

    /// Adds `text` to the answer.
    pub fn push(&mut self, text: &str) -> StopOutcome {
        if self.stopped {
            return StopOutcome { text: String::new(), stopped: true };
        }
        if self.stops.is_empty() {
            return StopOutcome { text: text.to_owned(), stopped: false };
        }
        self.held.push_str(text);
        let cut = self.first_stop();
        self.stopped = cut.is_some();
        let rest = self.held.split_off(cut.unwrap_or_else(|| self.possible_stop()));
        let text = std::mem::replace(&mut self.held, rest);
        StopOutcome { text, stopped: self.stopped }
    }

    /// The text that was held back, if no stop text was met.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if self.stopped { String::new() } else { held }
    }

    /// Where the stop text that ends first begins.
    fn first_stop(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| Some((self.held.find(stop.as_str())?, stop.len())));
        found.min_by_key(|(start, len)| (start + len, *start)).map(|(start, _)| start)
    }

    /// Where the longest ending that begins a stop text starts; the length if there is none.
    fn possible_stop(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        let begins = |at: &usize| {
            let ending = &self.held.as_bytes()[*at..];
            self.stops.iter().any(|stop| stop.as_bytes().starts_with(ending))
        };
        (from..self.held.len()).filter(|at| self.held.is_char_boundary(*at)).find(begins).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops.iter().map(|stop| stop.to_string()).collect());
        let mut text = String::new();
        let mut stopped = false;
        for piece in pieces {
            let outcome = matcher.push(piece);
            text.push_str(&outcome.text);
            stopped = outcome.stopped;
        }
        text.push_str(&matcher.finish());
        (text, stopped)
    }

    #[test]
    fn the_answer_ends_before_the_stop_text() {
        let cases: [(&[&str], &str, &str, bool); 10] = [
            (&[], "all of it", "all of it", false),
            (&[""], "all of it", "all of it", false),
            (&["STOP"], "go STOP on", "go ", true),
            (&["STOP"], "STO", "STO", false),
            (&["\n\n", "\n"], "a\n\nb", "a", true),
            (&["b", "abcd"], "xabcd", "xa", true),
            (&["bc", "abc"], "xabcd", "x", true),
            (&["aab"], "aaab", "a", true),
            (&["é!"], "caf\u{e9}?é!", "café?", true),
            (&["</s>"], "1 < 2 </ s", "1 < 2 </ s", false),
        ];
        for (stops, text, expected, stopped) in cases {
            assert_eq!(run(stops, &[text]), (expected.into(), stopped), "{stops:?} {text:?}");
            let chars: Vec<String> = text.chars().map(String::from).collect();
            let chars: Vec<&str> = chars.iter().map(String::as_str).collect();
            assert_eq!(run(stops, &chars), (expected.into(), stopped), "by characters: {stops:?} {text:?}");
            for (at, _) in text.char_indices() {
                let halves = [&text[..at], &text[at..]];
                assert_eq!(run(stops, &halves), (expected.into(), stopped), "at {at}: {stops:?} {text:?}");
            }
        }
    }

    #[test]
    fn only_a_possible_beginning_is_held_back() {
        let mut matcher = StopMatcher::new(vec!["END.".into()]);
        assert_eq!(matcher.push("the EN").text, "the ");
        assert_eq!(matcher.push("EMY, END").text, "ENEMY, ");
        assert_eq!(matcher.push(".x"), StopOutcome { text: String::new(), stopped: true });
        assert_eq!(matcher.push("more"), StopOutcome { text: String::new(), stopped: true });
        assert_eq!(matcher.finish(), "");
    }
}
