//! Notices that something came, went or changed below the places of models, so that they are scanned again. It only says
//! *that*; a scan finds out what. Where the system cannot tell, it is said again and again that something may have changed.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, MetadataKind, ModifyKind},
};
use tokio::sync::watch;

/// A watch over some folders. It ends when dropped.
#[derive(Debug)]
pub struct Watch {
    changes: watch::Receiver<()>,
    signals: Vec<Sender<Signal>>,
}

impl Watch {
    /// Watches `roots` with all that is below them, each on a thread of its own: a disk that does not answer keeps no other
    /// root waiting. They may come and go themselves.
    pub fn start(roots: Vec<PathBuf>) -> Self {
        Self::with(roots, TIMING)
    }

    fn with(roots: Vec<PathBuf>, timing: Timing) -> Self {
        let (say, changes) = watch::channel(());
        let watch = |root| {
            let (signals, received) = channel();
            let (say, mut place) = (say.clone(), Place::new(root, signals.clone()));
            thread::spawn(move || {
                place.look();
                while say.send(()).is_ok() && changed(&received, &mut place, timing) {}
            });
            signals
        };
        Self { changes, signals: roots.into_iter().map(watch).collect() }
    }

    /// Waits until something changed since this was last called, and then has been quiet for a moment. The first time, until
    /// the watch of a root has begun: a scan after that misses nothing of it.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for signals in &self.signals {
            signals.send(Signal::Stop).ok();
        }
    }
}

#[derive(Debug)]
enum Signal {
    Changed,
    Stop,
}

#[derive(Debug, Clone, Copy)]
struct Timing {
    /// Nothing must change for this long.
    quiet: Duration,
    /// But a change is told after this long at the latest: a download changes something all the time.
    latest: Duration,
    /// How often it is looked which roots there are, and how often a change is assumed where none can be noticed.
    poll: Duration,
}

const TIMING: Timing =
    Timing { quiet: Duration::from_millis(500), latest: Duration::from_secs(5), poll: Duration::from_secs(30) };

/// Waits for the next change that is to be told; `false` at the end.
fn changed(signals: &Receiver<Signal>, place: &mut Place, timing: Timing) -> bool {
    loop {
        match signals.recv_timeout(timing.poll) {
            Ok(Signal::Changed) => {
                let goes_on = settle(signals, timing);
                place.look();
                return goes_on;
            }
            Err(RecvTimeoutError::Timeout) if place.look() => return true,
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Waits for quiet; `false` at the end.
fn settle(signals: &Receiver<Signal>, timing: Timing) -> bool {
    let began = Instant::now();
    while began.elapsed() < timing.latest {
        match signals.recv_timeout(timing.quiet) {
            Ok(Signal::Changed) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

struct Place {
    root: PathBuf,
    /// `None` where the system lets nothing be watched.
    watcher: Option<RecommendedWatcher>,
    /// The inode that is being watched.
    watched: Option<u64>,
}

impl Place {
    fn new(root: PathBuf, signals: Sender<Signal>) -> Self {
        let tell = move |event: notify::Result<Event>| {
            // An error says that events were lost.
            if event.map_or(true, |event| is_change(event.kind)) {
                signals.send(Signal::Changed).ok();
            }
        };
        let watcher = RecommendedWatcher::new(tell, Config::default().with_follow_symlinks(false));
        let watcher = watcher.inspect_err(|error| tracing::warn!("folders of models cannot be watched: {error}"));
        Self { root, watcher: watcher.ok(), watched: None }
    }

    /// Watches the root if it is new. Answers whether something may have changed that no event tells of.
    fn look(&mut self) -> bool {
        let Self { root, watcher, watched } = self;
        let inode = fs::metadata(&*root).ok().map(|metadata| metadata.ino());
        if inode == *watched {
            return false;
        }
        if let Some(watcher) = watcher {
            watcher.unwatch(root).ok();
            let watch = |_: &u64| {
                let result = watcher.watch(root, RecursiveMode::Recursive);
                result
                    .inspect_err(|error| tracing::debug!("{} is looked at by and by: {error}", root.display()))
                    .is_ok()
            };
            *watched = inode.filter(watch);
        }
        true
    }
}

/// Whether an event can be of interest: that somebody, a scan for one, read something is not.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime)) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Timing = Timing {
        quiet: Duration::from_millis(20),
        latest: Duration::from_millis(500),
        poll: Duration::from_millis(50),
    };

    /// Never poll, so that what is told comes from the system.
    const EVENTS_ONLY: Timing = Timing { poll: Duration::from_secs(3600), ..FAST };

    async fn told(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.is_ok()
    }

    /// A watch that has said that it began.
    async fn begun(root: PathBuf, timing: Timing) -> Watch {
        let mut watch = Watch::with(vec![root], timing);
        assert!(told(&mut watch).await, "began");
        watch
    }

    #[tokio::test]
    async fn what_comes_goes_and_changes_far_below_is_told() {
        let home = tempfile::tempdir().unwrap();
        let deep = home.path().join("models--a--b/snapshots/abc");
        fs::create_dir_all(&deep).unwrap();
        let mut watch = begun(home.path().to_owned(), EVENTS_ONLY).await;
        fs::write(deep.join("config.json"), "{}").unwrap();
        assert!(told(&mut watch).await, "came");
        fs::write(deep.join("config.json"), "{\"model_type\": \"llama\"}").unwrap();
        assert!(told(&mut watch).await, "changed");
        fs::remove_dir_all(home.path().join("models--a--b")).unwrap();
        assert!(told(&mut watch).await, "went");
    }

    #[tokio::test]
    async fn a_root_may_come_after_the_watch_and_go() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("later/models");
        let mut watch = begun(root.clone(), FAST).await;
        fs::create_dir_all(&root).unwrap();
        assert!(told(&mut watch).await, "came");
        fs::write(root.join("file"), "").unwrap();
        assert!(told(&mut watch).await, "changed");
        fs::remove_dir_all(&root).unwrap();
        assert!(told(&mut watch).await, "went");
    }

    #[test]
    fn where_nothing_can_be_watched_each_look_may_find_a_change() {
        let home = tempfile::tempdir().unwrap();
        let mut place = Place { root: home.path().to_owned(), watcher: None, watched: None };
        assert!(place.look() && place.look());
        fs::remove_dir_all(home.path()).unwrap();
        assert!(!place.look());
    }

    #[test]
    fn reading_is_no_change() {
        for (kind, expected) in [
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), false),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), false),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), true),
            (EventKind::Modify(ModifyKind::Any), true),
            (EventKind::Create(notify::event::CreateKind::Any), true),
        ] {
            assert_eq!(is_change(kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn many_changes_at_once_are_told_once() {
        let (send, signals) = channel();
        let mut place = Place { root: "/absent".into(), watcher: None, watched: None };
        (0..1000).for_each(|_| send.send(Signal::Changed).unwrap());
        assert!(changed(&signals, &mut place, FAST));
        assert!(signals.try_recv().is_err(), "told again");
        send.send(Signal::Changed).unwrap();
        send.send(Signal::Stop).unwrap();
        assert!(!changed(&signals, &mut place, FAST));
    }

    #[test]
    fn a_change_is_told_in_time_though_it_never_becomes_quiet() {
        let (send, signals) = channel();
        let timing = Timing { latest: Duration::ZERO, ..FAST };
        (0..3).for_each(|_| send.send(Signal::Changed).unwrap());
        assert!(settle(&signals, timing));
        assert!(signals.try_recv().is_ok(), "waited for quiet");
    }
}
