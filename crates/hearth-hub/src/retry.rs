//! What to do about a failed request: wait and ask again, or give up with a sentence.

use std::error::Error;
use std::future::Future;
use std::io;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::error::HubError;
use crate::files::RepoId;
use crate::registry::Hub;

/// How long to put up with a Hub that fails.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often a request is made again, counted anew whenever something came.
    pub retries: u32,
    /// The first wait; each next one is twice as long, and a part of each is chance.
    pub first_wait: Duration,
    /// The longest wait that the Hub may ask for.
    pub longest_asked: Duration,
    /// A transfer that brings nothing for so long has failed.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { retries: 6, first_wait: seconds(1), longest_asked: seconds(600), stall: seconds(30) }
    }
}

impl Patience {
    /// That of somebody who waits for the answer: some seconds.
    pub(crate) fn in_a_hurry(self) -> Self {
        let longest_asked = self.longest_asked.min(Duration::from_secs(3));
        Self { retries: self.retries.min(2), longest_asked, stall: self.stall.min(Duration::from_secs(10)), ..self }
    }
}

/// Why a request failed.
pub(crate) enum Trouble {
    /// It may go better soon.
    Passing {
        why: String,
        /// What the server asks to wait.
        wait: Option<Duration>,
    },
    /// It will not.
    Lasting(HubError),
}

impl From<HubError> for Trouble {
    fn from(error: HubError) -> Self {
        Self::Lasting(error)
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        let why = reason(&error);
        match error.url().filter(|_| is_tls(&error)) {
            Some(url) => Self::Lasting(HubError::Tls { address: url.origin().ascii_serialization(), why }),
            None => Self::passing(why),
        }
    }
}

/// Whether a connection was made and then not trusted.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause = error.source().filter(|_| error.is_connect());
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(is_invalid) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// TLS reports what it does not trust as data that cannot be, and hyper puts that into an error of its own.
fn is_invalid(error: &io::Error) -> bool {
    let inner = || error.get_ref()?.downcast_ref();
    error.kind() == io::ErrorKind::InvalidData || inner().is_some_and(is_invalid)
}

impl Trouble {
    pub(crate) fn passing(why: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), wait: None }
    }
}

/// Counts failures in a row and says how long to wait after each.
pub(crate) struct Backoff {
    patience: Patience,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, failures: 0 }
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The wait before the next attempt, at least what the server asked for; none when patience is at its end.
    pub(crate) fn failed(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.failures >= self.patience.retries {
            return None;
        }
        let wait = self.patience.first_wait * (1 << self.failures.min(16));
        self.failures += 1;
        let wait = wait.mul_f64(0.5 + fastrand::f64() / 2.0);
        Some(wait.max(asked.unwrap_or_default().min(self.patience.longest_asked)))
    }
}

/// Makes a request until it succeeds, fails for good, or patience ends.
pub(crate) async fn retry<T, F>(hub: &Hub, mut request: impl FnMut() -> F) -> Result<T, HubError>
where
    F: Future<Output = Result<T, Trouble>>,
{
    let mut backoff = Backoff::new(hub.patience());
    loop {
        match request().await {
            Ok(answer) => return Ok(answer),
            Err(Trouble::Lasting(error)) => return Err(error),
            Err(Trouble::Passing { why, wait }) => match backoff.failed(wait) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(HubError::Unreachable { endpoint: hub.endpoint().into(), why }),
            },
        }
    }
}

/// What the Hub's refusal means: its `X-Error-Code` says more than the status. `revision` and `file` are what was asked for.
pub(crate) fn refused(
    hub: &Hub,
    (repo, revision, file): (&RepoId, &str, &str),
    status: u16,
    code: Option<&str>,
    wait: Option<Duration>,
) -> Trouble {
    let (endpoint, page) = (hub.endpoint().to_owned(), hub.page(repo));
    let has_token = hub.options().token.is_some();
    let repo = repo.to_string();
    Trouble::Lasting(match (status, code) {
        (408 | 425 | 429 | 500..=599, _) => return Trouble::Passing { why: format!("status {status}"), wait },
        (401 | 403, Some("GatedRepo")) if has_token => HubError::Gated { repo, page, hint: "" },
        (401 | 403, Some("GatedRepo")) | (403, _) if !has_token => {
            HubError::Gated { repo, page, hint: ", and give a token of yours in HF_TOKEN" }
        }
        (401, _) if has_token => HubError::Token(endpoint),
        (401, _) => HubError::NoRepo { repo, endpoint, hint: ", and give a token in HF_TOKEN if it is private" },
        (403, _) => HubError::Forbidden { repo, page },
        (404, Some("RevisionNotFound")) => HubError::NoRevision { repo, revision: revision.into() },
        (404, Some("EntryNotFound")) => HubError::NoFile { repo, file: file.into() },
        (404, _) => HubError::NoRepo { repo, endpoint, hint: "" },
        _ => HubError::Answer(format!("status {status} for {repo}")),
    })
}

/// `Retry-After` in seconds; the form with a date is not in use on the Hub.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The innermost cause, which says most: "connection refused", not "error sending request".
pub(crate) fn reason(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(asked: Option<Duration>) -> Vec<f64> {
        let mut backoff = Backoff::new(Patience::default());
        std::iter::from_fn(|| backoff.failed(asked)).map(|wait| wait.as_secs_f64()).collect()
    }

    #[test]
    fn waits_double_six_times_and_are_never_quite_the_same() {
        let found = waits(None);
        assert_eq!(found.len(), 6);
        for (at, wait) in found.iter().enumerate() {
            let most = f64::from(1 << at);
            assert!((most / 2.0..=most).contains(wait), "{found:?}");
        }
        assert_ne!(found, waits(None));
    }

    #[test]
    fn what_the_server_asks_is_heeded_within_reason() {
        assert_eq!(waits(Some(Duration::from_secs(90))), [90.0; 6]);
        assert_eq!(waits(Some(Duration::from_secs(1 << 40)))[0], 600.0);
    }

    #[test]
    fn whatever_comes_renews_patience() {
        let mut backoff = Backoff::new(Patience { retries: 1, ..Patience::default() });
        assert!(backoff.failed(None).is_some() && backoff.failed(None).is_none());
        backoff.succeeded();
        assert!(backoff.failed(None).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_made_seven_times_and_takes_about_a_minute() {
        let hub = Hub::new(crate::registry::HubOptions::new("http://hub", "/c")).unwrap();
        let (start, mut made) = (tokio::time::Instant::now(), 0);
        let failed = retry(&hub, || {
            made += 1;
            async { Err::<(), _>(Trouble::passing("no route")) }
        });
        let error = failed.await.unwrap_err().to_string();
        assert_eq!(error, "http://hub does not answer as it should (no route): try again later");
        let waited = start.elapsed().as_secs_f64();
        assert!(made == 7 && (31.0..=64.0).contains(&waited), "{made} requests in {waited} s");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_answer_hears_soon_that_there_is_none() {
        let hub = Hub::new(crate::registry::HubOptions::new("http://hub", "/c")).unwrap().in_a_hurry();
        let start = tokio::time::Instant::now();
        let failed = retry(&hub, || async { Err::<(), _>(Trouble::passing("no route")) });
        assert!(failed.await.is_err());
        let waited = start.elapsed().as_secs_f64();
        assert!((1.5..=3.0).contains(&waited), "{waited} s");
    }
}
