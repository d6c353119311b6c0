//! The `hearth` object of an answer: what was reused, why not more, and where the time went. The same in every protocol.

use hearth_core::{
    event::{AnswerReport, Miss, MissReason, SessionUse, Timings, Turn, Usage},
    task::CacheSource,
};
use serde::Serialize;

/// What Hearth says of an answer beside what its protocol asks for.
#[derive(Serialize)]
pub(crate) struct ReportShape<'a> {
    session: Option<SessionShape<'a>>,
    cache: CacheShape,
    timings: TimingsShape,
}

#[derive(Serialize)]
struct SessionShape<'a> {
    id: &'a str,
    turn: &'static str,
    kept: bool,
}

/// What of a prompt was found in a cache.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CacheShape {
    source: &'static str,
    matched_tokens: usize,
    miss: Option<MissShape>,
}

#[derive(Debug, Clone, Serialize)]
struct MissShape {
    reason: &'static str,
    message_index: Option<usize>,
}

/// Where the time went, and the speeds that follow.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TimingsShape {
    queue_ms: f64,
    load_ms: f64,
    restore_ms: f64,
    prefill_ms: f64,
    decode_ms: f64,
    prefill_tokens_per_second: Option<f64>,
    decode_tokens_per_second: Option<f64>,
}

impl<'a> ReportShape<'a> {
    /// The shape of an answer's report, and of the speeds that follow from what it took.
    pub(crate) fn of(report: &'a AnswerReport, usage: &Usage) -> Self {
        Self {
            session: report.session.as_ref().map(SessionShape::of),
            cache: CacheShape::of(report),
            timings: TimingsShape::of(&report.timings, usage, report.matched_tokens),
        }
    }
}

impl CacheShape {
    pub(crate) fn of(report: &AnswerReport) -> Self {
        let AnswerReport { source, matched_tokens, miss, .. } = report;
        Self { source: source_name(*source), matched_tokens: *matched_tokens, miss: miss.map(MissShape::of) }
    }
}

impl<'a> SessionShape<'a> {
    fn of(SessionUse { id, turn, kept }: &'a SessionUse) -> Self {
        let turn = match turn {
            Turn::New => "new",
            Turn::Continued => "continued",
            Turn::Delta => "delta",
            Turn::Replaced => "replaced",
        };
        Self { id, turn, kept: *kept }
    }
}

fn source_name(source: CacheSource) -> &'static str {
    match source {
        CacheSource::None => "none",
        CacheSource::Memory => "memory",
        CacheSource::Disk => "disk",
    }
}

impl MissShape {
    fn of(Miss { reason, message_index }: Miss) -> Self {
        let reason = match reason {
            MissReason::Cold => "cold",
            MissReason::Changed => "changed",
            MissReason::Evicted => "evicted",
            MissReason::Uncuttable => "uncuttable",
        };
        Self { reason, message_index }
    }
}

impl TimingsShape {
    pub(crate) fn of(timings: &Timings, usage: &Usage, matched: usize) -> Self {
        let Timings { queue_ms, load_ms, restore_ms, prefill_ms, decode_ms } = *timings;
        Self {
            queue_ms: rounded(queue_ms),
            load_ms: rounded(load_ms),
            restore_ms: rounded(restore_ms),
            prefill_ms: rounded(prefill_ms),
            decode_ms: rounded(decode_ms),
            prefill_tokens_per_second: speed(usage.prompt_tokens.saturating_sub(matched), prefill_ms),
            // The first token is the prefill's.
            decode_tokens_per_second: speed(usage.completion_tokens.saturating_sub(1), decode_ms),
        }
    }
}

/// Tokens per second; none where there is nothing to divide.
pub(crate) fn speed(tokens: usize, ms: f64) -> Option<f64> {
    (tokens > 0 && ms > 0.0).then(|| rounded(tokens as f64 * 1000.0 / ms))
}

/// To the microsecond: more digits would only look exact.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_says_what_was_reused_and_how_fast_the_rest_was() {
        let usage = Usage { prompt_tokens: 1200, completion_tokens: 11, reasoning_tokens: 0, cached_tokens: 1000 };
        let report = AnswerReport {
            session: Some(SessionUse { id: "tea/2".into(), turn: Turn::Delta, kept: false }),
            source: CacheSource::Disk,
            matched_tokens: 1000,
            miss: Some(Miss { reason: MissReason::Changed, message_index: Some(3) }),
            timings: Timings { queue_ms: 0.12345, load_ms: 0.0, restore_ms: 7.0, prefill_ms: 100.0, decode_ms: 500.0 },
        };
        let expected = json!({
            "session": { "id": "tea/2", "turn": "delta", "kept": false },
            "cache": {
                "source": "disk", "matched_tokens": 1000, "miss": { "reason": "changed", "message_index": 3 },
            },
            "timings": {
                "queue_ms": 0.123, "load_ms": 0.0, "restore_ms": 7.0, "prefill_ms": 100.0, "decode_ms": 500.0,
                "prefill_tokens_per_second": 2000.0, "decode_tokens_per_second": 20.0,
            },
        });
        assert_eq!(serde_json::to_value(ReportShape::of(&report, &usage)).expect("plain data"), expected);
    }

    #[test]
    fn what_is_not_known_is_null_and_never_infinite() {
        let shape = serde_json::to_value(ReportShape::of(&AnswerReport::default(), &Usage::default()));
        let shape = shape.expect("plain data");
        assert_eq!(shape["session"], json!(null));
        assert_eq!(shape["cache"], json!({ "source": "none", "matched_tokens": 0, "miss": null }));
        assert_eq!(shape["timings"]["prefill_tokens_per_second"], json!(null));
        assert_eq!(shape["timings"]["decode_tokens_per_second"], json!(null));
    }
}
