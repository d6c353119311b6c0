//! `GET /v1/models` and `/v1/models/{id}`.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use hearth_core::model::ModelCard;
use hearth_engine::{Status, WorkerState};
use serde::Serialize;

use crate::{error::ApiError, state::AppState};

/// A list that OpenAI's clients read as theirs, and Anthropic's too: the path is the same for both.
#[derive(Serialize)]
pub(crate) struct List {
    object: &'static str,
    data: Vec<Card>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Card {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    context_length: Option<usize>,
    max_model_len: Option<usize>,
    #[serde(rename = "type")]
    kind: &'static str,
    display_name: String,
    created_at: String,
    status: Value,
}

/// Whether the model can answer at once.
#[derive(Serialize)]
struct Value {
    value: &'static str,
}

/// All installed models.
pub(crate) async fn list(State(state): State<AppState>) -> Json<List> {
    let data: Vec<_> = state.engine.status().into_iter().map(Card::of).collect();
    let id = |card: Option<&Card>| card.map(|card| card.id.clone());
    let (first_id, last_id) = (id(data.first()), id(data.last()));
    Json(List { object: "list", data, has_more: false, first_id, last_id })
}

/// The model that answers to a name, which may have slashes in it.
pub(crate) async fn retrieve(
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Card>, ApiError> {
    let Path(id) = id?;
    Ok(Json(Card::of(state.engine.find(&id)?)))
}

impl Card {
    fn of(Status { card, worker, .. }: Status) -> Self {
        let ModelCard { id, name, source: _, created, context_length } = card;
        Self {
            object: "model",
            created,
            owned_by: "hearth",
            context_length,
            max_model_len: context_length,
            kind: "model",
            display_name: name,
            created_at: rfc3339(created),
            id,
            status: Value {
                value: match worker {
                    WorkerState::Stopped => "unloaded",
                    WorkerState::Loading => "loading",
                    WorkerState::Ready => "loaded",
                },
            },
        }
    }
}

/// A moment in UTC as `2025-11-21T05:36:41Z`.
fn rfc3339(unix: u64) -> String {
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date `days` after 1970-01-01: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_738_193_123, "2025-01-29T23:25:23Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(unix), expected);
        }
    }
}
