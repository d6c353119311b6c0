//! One file from the Hub to the disk: requests and what servers do wrong. Every way out leaves a part that can grow on.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc;

use super::job::Job;
use super::lock;
use super::part::{self, IN_FLIGHT, Part, Written};
use super::progress::{Meter, State};
use crate::error::HubError;
use crate::manifest::{ModelFile, check, timed};
use crate::retry::{Backoff, Trouble};

/// How often a file with a wrong content is fetched again.
const MAX_AGAIN: usize = 2;

/// How a transfer ended.
enum Ended {
    /// There is nothing more to come.
    Full,
    /// Ask again for the rest.
    Trouble(Trouble),
    /// What came cannot be part of the file.
    Wrong(String),
}

impl<E: Into<Trouble>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

impl Job {
    /// Brings one file to its blob, or finds it there.
    pub(super) async fn fetch(&self, at: usize) -> Result<(), HubError> {
        let (file, meter) = (&self.manifest.files[at], &self.meters.files[at]);
        match self.open(at, file, meter).await? {
            None => meter.set(file.size),
            Some(part) => self.fill(at, file, meter, part).await?,
        }
        meter.enter(State::Done);
        Ok(())
    }

    async fn open(&self, at: usize, file: &ModelFile, meter: &Meter) -> Result<Option<Part>, HubError> {
        let (partial, lock) = (self.cache.partial(&file.digest), self.cache.lock(&file.digest));
        let follow = || {
            meter.enter(State::Running);
            meter.follow(std::fs::metadata(&partial).map_or(0, |found| found.len().min(file.size)));
        };
        let lock = lock::acquire(&lock, follow).await?;
        meter.enter(State::Checking);
        let (cache, file, meters, stop) = (self.cache.clone(), file.clone(), self.meters.clone(), self.stop.clone());
        self.blocking(move || part::open(&cache, &file, lock, &meters.files[at], &stop)).await
    }

    /// Makes a part grow until it is the file.
    async fn fill(&self, at: usize, file: &ModelFile, meter: &Meter, mut part: Part) -> Result<(), HubError> {
        let (mut backoff, mut wrongs) = (Backoff::new(self.hub.patience()), 0);
        let mut most = part.len();
        loop {
            meter.enter(State::Running);
            let (grown, ended) = self.grow(at, file, part).await?;
            part = grown;
            // A server that always begins anew must not renew our patience for ever.
            if part.len() > most {
                most = part.len();
                backoff.succeeded();
            }
            let why = match ended {
                Ended::Full => match self.finish(at, part).await? {
                    None => return Ok(()),
                    Some(empty) => {
                        part = empty;
                        "its hash is another".into()
                    }
                },
                Ended::Wrong(why) => {
                    part.restart(meter)?;
                    why
                }
                Ended::Trouble(trouble) => {
                    self.wait(trouble, &mut backoff).await?;
                    continue;
                }
            };
            wrongs += 1;
            if wrongs > MAX_AGAIN {
                let (repo, file) = (self.manifest.repo.to_string(), file.name.to_string());
                return Err(HubError::WrongContent { repo, file, why });
            }
        }
    }

    /// One request, and what it brings.
    async fn grow(&self, at: usize, file: &ModelFile, part: Part) -> Result<(Part, Ended), HubError> {
        match self.ask(file, &part).await {
            Ok(response) => self.take(at, part, response).await,
            Err(ended) => Ok((part, ended)),
        }
    }

    /// Verifies a full part; gives back an empty one if its content is wrong.
    async fn finish(&self, at: usize, part: Part) -> Result<Option<Part>, HubError> {
        self.meters.files[at].enter(State::Verifying);
        let meters = self.meters.clone();
        self.blocking(move || part.finish(&meters.files[at])).await
    }

    /// Waits until a request may be made again.
    async fn wait(&self, trouble: Trouble, backoff: &mut Backoff) -> Result<(), HubError> {
        let endpoint = self.hub.endpoint();
        let (why, asked, last) = match trouble {
            // The Hub was trusted when it listed the file: a connection that is not may be the only one.
            Trouble::Lasting(HubError::Tls { address, why }) => (why.clone(), None, HubError::Tls { address, why }),
            Trouble::Lasting(error) => return Err(error),
            Trouble::Passing { why, wait } => {
                (why.clone(), wait, HubError::Unreachable { endpoint: endpoint.into(), why })
            }
        };
        let Some(wait) = backoff.failed(asked) else { return Err(last) };
        let seconds = wait.as_secs().max(1);
        tracing::info!(repo = %self.manifest.repo, seconds, "download waits: {why}");
        self.meters.note(Some(format!("{endpoint} does not answer as it should ({why}): trying again in {seconds} s")));
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The answer to a request for what a part lacks.
    async fn ask(&self, file: &ModelFile, part: &Part) -> Result<Response, Ended> {
        if part.is_full() {
            return Err(Ended::Full);
        }
        let Self { hub, manifest, .. } = self;
        let repo = &manifest.repo;
        let place = [repo.owner(), repo.name(), "resolve", manifest.commit.as_str()];
        let mut request = hub.get(hub.url(place.into_iter().chain(file.name.components())));
        if part.len() > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.len()));
        }
        let response = timed(hub.patience().stall, request.send()).await??;
        match response.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => Err(Ended::Wrong("it is shorter than listed".into())),
            StatusCode::PARTIAL_CONTENT if !is_rest(&response, part.len(), file.size) => {
                Err(Ended::Wrong("another range came than was asked for".into()))
            }
            _ => Ok(check(hub, (repo, manifest.revision.as_str(), file.name.as_str()), response)?),
        }
    }

    /// Appends what comes to a part, on a thread that may block; the part comes back with why no more came.
    async fn take(&self, at: usize, mut part: Part, response: Response) -> Result<(Part, Ended), HubError> {
        self.meters.note(None);
        let anew = part.len() > 0 && response.status() != StatusCode::PARTIAL_CONTENT;
        let (sender, pieces) = mpsc::channel(IN_FLIGHT);
        let meters = self.meters.clone();
        let writing = self.blocking(move || {
            let meter = &meters.files[at];
            if anew {
                part.restart(meter)?;
            }
            let written = part.append_all(pieces, meter)?;
            Ok((part, written))
        });
        let (written, came) = tokio::join!(writing, receive(response, sender, self.hub.patience().stall));
        let (part, written) = written?;
        let ended = match (written, came) {
            (Written::TooLong, _) => Ended::Wrong("it is longer than listed".into()),
            (Written::All, _) if part.is_full() => Ended::Full,
            (Written::All, Ok(())) => Trouble::passing("the transfer ended early").into(),
            (Written::All, Err(trouble)) => trouble.into(),
        };
        Ok((part, ended))
    }
}

/// Whether an answer says that it is the rest of the file.
fn is_rest(response: &Response, from: u64, size: u64) -> bool {
    let told = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let Some((range, total)) = told.and_then(|told| told.strip_prefix("bytes ")?.split_once('/')) else { return false };
    let start = range.split('-').next().and_then(|start| start.parse().ok());
    start == Some(from) && (total == "*" || total.parse() == Ok(size))
}

/// Hands on what comes, until it ends, stalls or nobody takes it.
async fn receive(response: Response, sender: mpsc::Sender<bytes::Bytes>, stall: Duration) -> Result<(), Trouble> {
    let mut pieces = response.bytes_stream();
    while let Some(piece) = timed(stall, pieces.next()).await? {
        if sender.send(piece?).await.is_err() {
            break;
        }
    }
    Ok(())
}
