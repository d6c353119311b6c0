//! Misses on prompts of the fake's tokenizer, whose tokens are bytes; times on a clock that is moved by hand.

use hearth_core::chat::{Message, Role};
use hearth_core::runner::Sampled;

use super::*;
use crate::worker::protocol::Update;

fn subject(tools: bool, cuts_anywhere: bool, length: usize) -> Subject {
    let dir = tempfile::tempdir().unwrap();
    crate::fake::write_model(dir.path()).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_dir(dir.path()).unwrap());
    let template = hearth_text::ChatTemplate::from_dir(dir.path(), tokenizer.special()).unwrap().unwrap();
    let message = |(n, role)| Message::text(role, format!("{n}").repeat(length));
    let roles = [Role::System, Role::User, Role::Assistant, Role::User];
    let request = ChatRequest { messages: roles.into_iter().enumerate().map(message).collect(), ..Default::default() };
    let prompt = hearth_text::prompt(&template, &tokenizer, &request, hearth_text::LocalTime::from_unix(0)).unwrap();
    let (request, expected) = (Arc::new(request), Expected::default());
    Subject { tokenizer, prompt, request, tools, cuts_anywhere, expected, loading: Duration::from_millis(5) }
}

#[test]
fn a_miss_says_what_happened_and_where() {
    use MissReason::{Changed, Cold, Evicted, Uncuttable};
    let miss = |reason, index| Some((reason, index));
    // system: 000…\nuser: 111…\nassistant: 222…\nuser: 333…\nassistant: , with contents of `length`
    let length = 2000;
    let (user, answer, last) =
        (8 + length + 1, 8 + length + 1 + 6 + length + 1, 8 + length + 1 + 6 + length + 1 + 11 + length + 1);
    // cuts anywhere; (matched, shared, stored); (tokens of the session's last turn, its messages); the miss
    let cases = [
        (true, (0, 0, 0), (0, 0), miss(Cold, None)),
        (true, (8, 8, 500), (0, 0), miss(Cold, None)),
        (true, (9, 9, 500), (0, 0), miss(Changed, Some(0))),
        (true, (user + 3, user + 3, 9000), (0, 0), miss(Changed, Some(1))),
        (true, (answer + 15, answer + 15, 9000), (0, 0), miss(Changed, Some(2))),
        (true, (last, last, last), (0, 0), None),
        (true, (last, last, last + 2), (0, 0), None),
        (true, (last, last, last + 3), (0, 0), miss(Changed, Some(3))),
        (true, (last, last, last + 3), (last, 3), None),
        (true, (answer + 15, answer + 15, 9000), (answer + 15, 3), miss(Changed, Some(2))),
        (true, (0, 0, 0), (last, 3), miss(Evicted, Some(0))),
        (true, (user, user, 9000), (last, 3), miss(Evicted, Some(1))),
        (true, (user, last, last), (0, 0), miss(Evicted, Some(1))),
        (true, (last - 32, last, last), (0, 0), None),
        (false, (last - 1024, last, last), (last, 3), None),
        (false, (user, last, last), (last, 3), miss(Uncuttable, Some(1))),
        (false, (user, 1_000_000, 1_000_000), (0, 0), miss(Uncuttable, Some(1))),
    ];
    let mut subjects = [subject(false, false, length), subject(false, true, length)];
    for (cuts, (matched, shared, stored), (cached, messages), expected) in cases {
        let subject = &mut subjects[usize::from(cuts)];
        let reuse = Reuse { matched, shared, stored, ..Default::default() };
        let mut tokens = subject.prompt.tokens[..cached].to_vec();
        tokens.extend([7; 50]);
        subject.expected = Expected { cached: tokens.into(), tokens: cached, messages };
        let miss = subject.miss(&reuse);
        let miss = miss.map(|miss| (miss.reason, miss.message_index));
        assert_eq!(miss, expected, "{cuts} {matched} {shared} {stored} {cached}");
    }
    // A file was not worth its reading: what is not found there is what differs, if anything.
    subjects[1].expected = Expected::default();
    for (stored, expected) in [(last, None), (9000, miss(Changed, Some(3)))] {
        let reuse = Reuse { matched: last - 200, shared: last, stored, in_store: last, ..Default::default() };
        let miss = subjects[1].miss(&reuse);
        assert_eq!(miss.map(|miss| (miss.reason, miss.message_index)), expected, "{stored}");
    }
    // After a restart.
    subjects[1].expected = Expected { tokens: 90, messages: 3, ..Default::default() };
    let miss = subjects[1].miss(&Reuse::default());
    assert_eq!(miss, Some(Miss { reason: Evicted, message_index: Some(0) }));
    let tools = subject(true, true, length);
    let reuse = Reuse { matched: 5, shared: 5, stored: 500, ..Default::default() };
    assert_eq!(tools.miss(&reuse).unwrap().reason, Changed, "the tools were found");
}

#[tokio::test(start_paused = true)]
async fn times_are_those_of_the_worker_and_of_the_routing() {
    let token = || Some(Sampled { token: 1, logprobs: None });
    let reuse = || Some(Box::new(Reuse { matched: 3, queue_ms: 10.0, restore_ms: 20.0, ..Default::default() }));
    let begin = Instant::now();
    let at = |ms: u64| begin + Duration::from_millis(ms);
    let run = |updates: Vec<(u64, Update)>| {
        let mut course = Course { started: begin, ..Course::begin() };
        for (ms, update) in updates {
            course.see(&mut Routed { at: at(ms), begun: at(40), update });
        }
        course
    };
    let update = |opened, sampled| Update { id: 0, opened, sampled, end: None };
    // The slot is reported by itself, or with the first token: 40 ms of loading, 10 in the queue, 20 of reading.
    let alone = run(vec![(75, update(reuse(), None)), (175, update(None, token())), (500, update(None, token()))]);
    let joined = run(vec![(170, update(reuse(), token())), (500, update(None, token()))]);
    for (course, prefill, decode) in [(&alone, 100.0, 325.0), (&joined, 100.0, 330.0)] {
        let times = course.timings(Duration::from_millis(5));
        let expected =
            Timings { queue_ms: 10.0, load_ms: 45.0, restore_ms: 20.0, prefill_ms: prefill, decode_ms: decode };
        assert_eq!((times, course.cached_tokens()), (expected, 3));
    }
    let none = run(Vec::new()).timings(Duration::ZERO);
    assert_eq!(none, Timings::default());
}
