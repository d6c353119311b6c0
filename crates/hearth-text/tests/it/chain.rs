//! An answer's whole way back: random tokens through detokenizer, stop texts and parser.

use std::sync::Arc;

use hearth_core::event::Event;
use hearth_text::{Detokenizer, OutputParser, StopMatcher, Tokenizer};

use crate::support::{Chance, fixtures};

/// The answer's events, as the engine makes them.
fn answer(tokenizer: &Arc<Tokenizer>, ids: &[u32], stops: &[&str], tools: bool) -> Vec<Event> {
    let mut detokenizer = Detokenizer::new(tokenizer.clone());
    let mut stop = StopMatcher::new(stops.iter().map(|stop| stop.to_string()).collect());
    let mut parser = OutputParser::new("", tools);
    let mut events = Vec::new();
    for &id in ids {
        let outcome = stop.push(&detokenizer.push(id));
        events.extend(parser.push(&outcome.text));
        if outcome.stopped {
            break;
        }
    }
    let rest = stop.push(&detokenizer.finish()).text + &stop.finish();
    events.extend(parser.push(&rest));
    events.extend(parser.finish());
    events
}

fn text(events: &[Event]) -> String {
    let text = |event: &Event| match event {
        Event::Text { text, .. } | Event::Reasoning(text) => text.clone(),
        _ => String::new(),
    };
    events.iter().map(text).collect()
}

#[test]
fn random_tokens_become_their_text_up_to_the_stop() {
    let mut chance = Chance::new(13);
    for folder in ["byte_level", "byte_fallback", "unigram"] {
        let tokenizer = Arc::new(Tokenizer::from_dir(&fixtures("tokenizers").join(folder)).unwrap());
        for _ in 0..1_000 {
            let length = chance.below(40);
            let ids: Vec<u32> = (0..length).map(|_| chance.below(tokenizer.vocab_size()) as u32).collect();
            let whole = tokenizer.decode(&ids);
            answer(&tokenizer, &ids, &["e", "</think>"], true);
            if whole.contains("<think>") {
                continue;
            }
            let stops = ["th", "a\u{fffd}", "o"];
            let end = stops.iter().filter_map(|stop| Some((whole.find(stop)? + stop.len(), stop.len()))).min();
            let expected = end.map_or(whole.as_str(), |(end, length)| &whole[..end - length]);
            assert_eq!(text(&answer(&tokenizer, &ids, &stops, false)), expected, "{folder}: {whole:?}");
        }
    }
}
