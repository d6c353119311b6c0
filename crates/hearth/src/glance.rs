//! How the server is, at a glance: what an icon and its menu show. It is made anew when something changes, and once a second
//! while models answer; a server that nobody uses does nothing for it.

use std::future::pending;
use std::time::Duration;

use hearth_engine::{Engine, Status, WorkerState};
use hearth_hub::download::State;
use hearth_server::library::{Download, Event, Library};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep};

/// Over how long a speed is taken.
const SECOND: Duration = Duration::from_secs(1);

/// What the models do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activity {
    /// A model is on its way.
    Loading,
    /// Nobody asks.
    #[default]
    Ready,
    /// A model answers.
    Answering,
}

/// What an icon and its menu show.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Glance {
    /// What the models do, taken together.
    pub activity: Activity,
    /// Names of the models that are loaded.
    pub models: Vec<String>,
    /// Tokens that were produced in the last second of answering.
    pub tokens_per_second: Option<f64>,
    /// Downloads that are under way: the repository, and how much of it is there, in per cent.
    pub downloads: Vec<(String, u8)>,
    /// Repositories whose download is done.
    pub finished: Vec<String>,
}

/// Keeps `glances` as things are, for as long as it is polled.
pub(crate) async fn follow(engine: &Engine, library: Option<&Library>, glances: &watch::Sender<Glance>) {
    let (mut changes, mut events) = (engine.changes(), library.map(Library::events));
    let mut speed = Speed::default();
    loop {
        let glance = Glance { tokens_per_second: speed.of(&engine.status()), ..of(engine, library) };
        let is_answering = glance.activity == Activity::Answering;
        glances.send_if_modified(|last| std::mem::replace(last, glance.clone()) != glance);
        let tick = async { if is_answering { sleep(SECOND).await } else { pending().await } };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = download(events.as_mut()) => {}
            () = tick => {}
        }
    }
}

/// Waits until a download has changed.
async fn download(events: Option<&mut broadcast::Receiver<Event>>) {
    let Some(events) = events else { return pending().await };
    loop {
        match events.recv().await {
            Ok(Event::Models) => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => return pending().await,
        }
    }
}

/// How it is now, but for its speed.
pub(crate) fn of(engine: &Engine, library: Option<&Library>) -> Glance {
    at_a_glance(&engine.status(), &library.map(Library::downloads).unwrap_or_default())
}

fn at_a_glance(models: &[Status], downloads: &[Download]) -> Glance {
    let loaded = models.iter().filter(|model| model.worker == WorkerState::Ready);
    let activity = if models.iter().any(|model| model.running > 0) {
        Activity::Answering
    } else if models.iter().any(|model| model.worker == WorkerState::Loading) {
        Activity::Loading
    } else {
        Activity::Ready
    };
    Glance {
        activity,
        models: loaded.map(|model| model.card.id.clone()).collect(),
        tokens_per_second: None,
        downloads: downloads.iter().filter(|download| is_under_way(download.state)).map(part).collect(),
        finished: downloads.iter().filter(|download| download.state == State::Done).map(name).collect(),
    }
}

fn is_under_way(state: State) -> bool {
    matches!(state, State::Queued | State::Checking | State::Running | State::Verifying)
}

fn part(download: &Download) -> (String, u8) {
    let total = download.total.unwrap_or(0).max(1);
    (name(download), (download.bytes.saturating_mul(100) / total).min(100) as u8)
}

fn name(download: &Download) -> String {
    download.repo.clone()
}

/// Tokens per second, from how many there were.
#[derive(Default)]
struct Speed {
    since: Option<(Instant, u64)>,
    last: Option<f64>,
}

impl Speed {
    fn of(&mut self, models: &[Status]) -> Option<f64> {
        let tokens: u64 = models.iter().map(|model| model.completion_tokens).sum();
        let now = Instant::now();
        if models.iter().all(|model| model.running == 0) {
            *self = Self::default();
            return None;
        }
        match self.since {
            Some((then, before)) if now - then >= SECOND => {
                // Fewer than before: a model was made anew.
                self.last = Some(tokens.saturating_sub(before) as f64 / (now - then).as_secs_f64());
                self.since = Some((now, tokens));
            }
            Some(_) => {}
            None => self.since = Some((now, tokens)),
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::model::ModelCard;

    use super::*;

    fn model(id: &str, worker: WorkerState, running: usize, completion_tokens: u64) -> Status {
        let (id, name, source) = (id.to_owned(), id.to_owned(), id.to_owned());
        Status {
            card: ModelCard { id, name, source, created: 0, context_length: None },
            worker,
            progress: 0.0,
            pid: None,
            memory: Default::default(),
            pinned: false,
            last_used: None,
            unloads_in: None,
            running,
            queued: 0,
            requests: 0,
            prompt_tokens: 0,
            completion_tokens,
            deaths: 0,
        }
    }

    #[test]
    fn what_is_answered_counts_more_than_what_is_loaded() {
        use WorkerState::{Loading, Ready, Stopped};
        let of = |models: &[Status]| at_a_glance(models, &[]);
        assert_eq!(of(&[model("a", Stopped, 0, 0)]), Glance::default());
        assert_eq!(of(&[model("a", Ready, 0, 9), model("b", Loading, 0, 0)]).activity, Activity::Loading);
        let both = of(&[model("a", Ready, 1, 9), model("b", Loading, 0, 0)]);
        assert_eq!((both.activity, both.models), (Activity::Answering, vec!["a".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_speed_is_that_of_the_last_second_in_which_somebody_answered() {
        let mut speed = Speed::default();
        let mut after = async |millis, running, tokens| {
            tokio::time::advance(Duration::from_millis(millis)).await;
            speed.of(&[model("a", WorkerState::Ready, running, tokens)])
        };
        assert_eq!(after(0, 1, 100).await, None);
        assert_eq!(after(500, 1, 120).await, None);
        assert_eq!(after(500, 1, 140).await, Some(40.0));
        assert_eq!(after(10, 1, 200).await, Some(40.0));
        assert_eq!(after(0, 0, 200).await, None);
        assert_eq!(after(0, 1, 200).await, None);
    }
}
