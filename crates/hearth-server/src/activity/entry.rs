//! One request on its way: what its handler and its answer's stream say of it. A token costs a lock that nobody else wants.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use hearth_core::{
    Result,
    event::{AnswerReport, Event, FinishReason, Usage},
};

use super::{Activity, Door, Progress, Request, Sums, cut, now};
use crate::report::{CacheShape, TimingsShape, rounded};

/// How often an answer that goes on is told of.
const TELL: Duration = Duration::from_millis(250);

/// A request; clones are handles of the same one. When all are gone before its end, it was cancelled.
#[derive(Clone)]
pub(crate) struct Entry(Arc<Inner>);

struct Inner {
    activity: Activity,
    began: Instant,
    course: Mutex<Course>,
}

/// How it goes.
struct Course {
    request: Request,
    /// Answers that are yet to end.
    choices: usize,
    /// Tokens of those that have ended.
    completion_tokens: usize,
    /// What the registry was not told yet.
    sums: Sums,
    /// Tokens that it was told.
    told_tokens: usize,
    told: Option<Instant>,
    place: Option<usize>,
}

/// What a request asks for.
pub(crate) struct Wish {
    pub(crate) model: String,
    pub(crate) session: Option<String>,
    pub(crate) choices: usize,
    pub(crate) stream: bool,
}

impl Entry {
    pub(super) fn new(activity: Activity, Door { protocol, path }: Door, client: Option<String>) -> Self {
        let request = Request {
            id: format!("{:016x}", unique()),
            at: now(),
            protocol,
            path,
            client,
            model: String::new(),
            session: None,
            stream: false,
            state: Progress::Waiting,
            error: None,
            finish_reason: None,
            prompt_tokens: None,
            cached_tokens: None,
            completion_tokens: 0,
            first_token_ms: None,
            total_ms: None,
            timings: None,
            cache: None,
        };
        let course = Course {
            request,
            choices: 1,
            completion_tokens: 0,
            sums: Sums::default(),
            told_tokens: 0,
            told: None,
            place: None,
        };
        Self(Arc::new(Inner { activity, began: Instant::now(), course: Mutex::new(course) }))
    }

    /// 16 digits that no other request has, also not one of another run of the server.
    pub(crate) fn id(&self) -> String {
        self.0.course().request.id.clone()
    }

    /// It was read, and waits for its answer.
    pub(crate) fn asks(&self, wish: Wish) {
        let mut course = self.0.course();
        let Wish { model, session, choices, stream } = wish;
        course.choices = choices;
        course.request = Request { model: cut(&model), session, stream, ..course.request.clone() };
        self.0.tell(&mut course);
    }

    /// Its prompt has so many tokens.
    pub(crate) fn has_prompt(&self, tokens: usize) {
        self.0.course().request.prompt_tokens = Some(tokens);
    }

    /// The answers, seen as they pass.
    pub(crate) fn watch<S>(&self, answers: S) -> impl Stream<Item = Result<(usize, Event)>> + Send + Unpin + use<S>
    where
        S: Stream<Item = Result<(usize, Event)>> + Send + Unpin,
    {
        let entry = self.clone();
        answers.inspect(move |event| match event {
            Ok((_, event)) => entry.saw(event),
            Err(error) => entry.failed(&error.message),
        })
    }

    /// A piece of an answer is there.
    pub(crate) fn saw(&self, event: &Event) {
        let mut course = self.0.course();
        let is_first = course.request.state == Progress::Waiting;
        if is_first {
            course.request.state = Progress::Answering;
            course.request.first_token_ms = Some(self.0.ms());
        }
        match event {
            Event::Finished { reason, usage, report } => course.finish(*reason, *usage, report),
            _ => course.request.completion_tokens += 1,
        }
        if course.choices == 0 {
            self.0.end(&mut course, Progress::Done);
        } else if is_first || course.told.is_none_or(|told| told.elapsed() >= TELL) {
            self.0.tell(&mut course);
        }
    }

    /// It came to nothing; the first reason counts.
    pub(crate) fn failed(&self, why: &str) {
        let mut course = self.0.course();
        if !course.request.state.is_end() {
            course.request.error = Some(cut(why));
            self.0.end(&mut course, Progress::Failed);
        }
    }
}

impl Course {
    /// One answer has ended. The first one comes last, and what is said of it counts.
    fn finish(&mut self, reason: FinishReason, usage: Usage, report: &AnswerReport) {
        self.choices = self.choices.saturating_sub(1);
        self.completion_tokens += usage.completion_tokens;
        // The first token is the prefill's.
        self.sums.decoded += usage.completion_tokens.saturating_sub(1);
        self.sums.decode_ms += report.timings.decode_ms;
        let request = &mut self.request;
        request.finish_reason = Some(match reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
        });
        request.prompt_tokens = Some(usage.prompt_tokens);
        request.cached_tokens = Some(usage.cached_tokens);
        request.timings = Some(TimingsShape::of(&report.timings, &usage, report.matched_tokens));
        request.cache = Some(CacheShape::of(report));
        if self.choices == 0 {
            request.completion_tokens = self.completion_tokens;
        }
    }
}

impl Inner {
    fn end(&self, course: &mut Course, state: Progress) {
        course.request.state = state;
        course.request.total_ms = Some(self.ms());
        let request = &course.request;
        course.sums = Sums {
            requests: 1,
            failed: usize::from(state == Progress::Failed),
            prompt_tokens: request.prompt_tokens.unwrap_or(0),
            cached_tokens: request.cached_tokens.unwrap_or(0),
            first_token_ms: request.first_token_ms.unwrap_or(0.0),
            first_tokens: usize::from(request.first_token_ms.is_some()),
            ..std::mem::take(&mut course.sums)
        };
        self.tell(course);
    }

    fn tell(&self, course: &mut Course) {
        let mut sums = std::mem::take(&mut course.sums);
        // The true number may turn out to be smaller than the number of pieces.
        sums.completion_tokens = course.request.completion_tokens.saturating_sub(course.told_tokens);
        course.told_tokens = course.told_tokens.max(course.request.completion_tokens);
        course.told = Some(Instant::now());
        course.place = Some(self.activity.note(&course.request, course.place, &sums));
    }

    fn ms(&self) -> f64 {
        rounded(self.began.elapsed().as_secs_f64() * 1000.0)
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        // No holder of the lock leaves it half changed.
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        if !course.request.state.is_end() {
            self.end(&mut course, Progress::Cancelled);
        }
    }
}

/// A number that no other request has, also not one of another run of the server.
fn unique() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    SECRET.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use hearth_engine::{Engine, EngineOptions, Placement};

    use super::*;
    use crate::activity::TEXT;

    #[test]
    fn of_what_a_client_made_up_the_beginning_is_kept() {
        let placement = Placement::Process { executable: "/none".into(), args: Vec::new() };
        let activity = Activity::new(Engine::new(Vec::new(), placement, EngineOptions::default()));
        let entry = Entry::new(activity.clone(), Door { protocol: "openai", path: "/" }, None);
        let long = "ü".repeat(1 << 20);
        entry.asks(Wish { model: long.clone(), session: None, choices: 1, stream: false });
        entry.failed(&long);
        let kept = activity.requests().remove(0);
        let lengths = [Some(kept.model), kept.error].map(|text| text.unwrap_or_default().chars().count());
        assert_eq!(lengths, [TEXT; 2]);
    }
}
