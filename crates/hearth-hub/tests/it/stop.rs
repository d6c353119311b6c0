//! Pausing, cancelling, dropping, and disks that are full or closed.

use std::fs;
use std::time::{Duration, Instant};

use hearth_hub::download::{Download, DownloadOptions, Progress, State};
use hearth_test_hub::{Fault, File, Kind};

use crate::support::{WEIGHTS, World, files, leftovers, model};

const SIZE: usize = 1_000_000;

/// A download whose weights stop after 400,000 bytes, at that point.
async fn halfway(world: &World) -> Download {
    world.hub.fault(Fault::once("/cdn/", Kind::StallAfter(400_000)));
    let download = world.start().await;
    wait_for(&download, |progress| progress.bytes >= 400_000).await;
    download
}

async fn wait_for(download: &Download, what: impl Fn(&Progress) -> bool) -> Progress {
    let mut progress = download.progress();
    let seen = tokio::time::timeout(Duration::from_secs(20), progress.wait_for(|now| what(now))).await;
    seen.expect("it comes in time").expect("the download runs").clone()
}

#[tokio::test]
async fn a_pause_keeps_what_came_and_a_resume_goes_on_there() {
    let repo = model(SIZE);
    let world = World::new(repo.clone()).await;
    let download = halfway(&world).await;
    download.pause();
    let paused = wait_for(&download, |progress| progress.state == State::Paused).await;
    assert_eq!((paused.reason, paused.bytes_per_second), (None, 0));
    let there = fs::metadata(world.partial().await).unwrap().len();
    assert_eq!(there, 400_000);
    download.resume();
    assert_eq!(download.finished().await.state, State::Done);
    world.check_whole(&repo);
    assert_eq!(world.hub.bytes_sent(WEIGHTS), SIZE as u64);
    let ranges: Vec<_> = world.hub.seen().into_iter().filter_map(|seen| seen.range).collect();
    assert!(ranges.iter().all(|range| range == "bytes=400000-") && !ranges.is_empty(), "{ranges:?}");
}

#[tokio::test]
async fn a_cancel_takes_a_fifth_of_a_second_and_leaves_nothing() {
    let world = World::new(model(SIZE)).await;
    let download = halfway(&world).await;
    let start = Instant::now();
    download.cancel();
    download.pause();
    download.resume();
    let last = download.finished().await;
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    assert_eq!((last.state, last.bytes), (State::Cancelled, 0));
    assert!(!world.cache().dir().exists());
    assert_eq!(files(world.dir.path()), Vec::<std::path::PathBuf>::new());
}

/// Many files, so that it takes a while to give them their names.
#[tokio::test]
async fn a_cancel_that_comes_too_late_finds_a_whole_model() {
    let mut repo = model(1000);
    let vocabulary = |number| File::new(format!("vocab{number}.txt"), "{}");
    repo.files.extend((0..2000).map(vocabulary));
    let world = World::new(repo.clone()).await;
    let snapshot = world.snapshot(&repo);
    let download = world.start().await;
    while !snapshot.exists() {
        tokio::task::yield_now().await;
    }
    download.cancel();
    let last = download.finished().await;
    assert_eq!((last.state, last.bytes), (State::Done, last.total));
    world.check_whole(&repo);
}

#[tokio::test]
async fn a_cancel_leaves_what_other_snapshots_use() {
    let old = model(1000);
    let world = World::new(old.clone()).await;
    world.pull_whole().await;
    let new = model(SIZE);
    world.hub.serve(vec![new]);
    let download = halfway(&world).await;
    download.cancel();
    assert_eq!(download.finished().await.state, State::Cancelled);
    world.check_whole(&old);
    assert_eq!(fs::read_dir(world.cache().dir().join("blobs")).unwrap().count(), 5);
}

#[tokio::test]
async fn a_paused_download_can_be_cancelled() {
    let world = World::new(model(SIZE)).await;
    let download = halfway(&world).await;
    download.pause();
    wait_for(&download, |progress| progress.state == State::Paused).await;
    download.cancel();
    assert_eq!(download.finished().await.state, State::Cancelled);
    assert!(!world.cache().dir().exists());
}

#[tokio::test]
async fn a_dropped_download_stops_and_the_next_goes_on_where_it_was() {
    let repo = model(SIZE);
    let world = World::new(repo.clone()).await;
    drop(halfway(&world).await);
    world.pull_whole().await;
    world.check_whole(&repo);
    assert_eq!(world.hub.bytes_sent(WEIGHTS), SIZE as u64);
}

#[tokio::test]
async fn progress_only_grows_and_tells_each_file() {
    let world = World::new(model(SIZE)).await;
    world.hub.fault(Fault::always("/cdn/", Kind::Slow(2_000_000)));
    let download = world.start().await;
    let (mut progress, mut last, mut running) = (download.progress(), 0, 0);
    while !progress.borrow_and_update().state.is_final() {
        let now = progress.borrow().clone();
        assert!(now.bytes >= last && now.bytes <= now.total);
        last = now.bytes;
        running += usize::from(now.state == State::Running && now.seconds_left.is_some() && now.bytes_per_second > 0);
        progress.changed().await.unwrap();
    }
    let end = download.finished().await;
    assert!(running > 0 && end.files.iter().all(|file| file.state == State::Done && file.bytes == file.total));
}

#[tokio::test]
async fn too_little_room_is_found_before_anything_is_asked() {
    let world = World::new(model(SIZE)).await;
    let manifest = world.manifest().await.unwrap();
    let asked = world.hub.seen().len();
    let options = DownloadOptions { reserve: u64::MAX / 2, ..DownloadOptions::default() };
    let last = Download::start(world.client(), manifest, options).finished().await;
    assert_eq!((last.state, world.hub.seen().len()), (State::Failed, asked));
    let reason = last.reason.unwrap();
    assert!(reason.contains("has too little room") && reason.contains("1.0 MB to download"), "{reason}");
}

/// Writing to this device fails as on a full disk.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_fills_up_pauses_the_download() {
    let repo = model(SIZE);
    let world = World::new(repo.clone()).await;
    let partial = world.partial().await;
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    let download = world.start().await;
    let paused = wait_for(&download, |progress| progress.state == State::Paused).await;
    assert!(paused.reason.unwrap().starts_with("the disk is full: make room for"));
    fs::remove_file(&partial).unwrap();
    download.resume();
    assert_eq!(download.finished().await.state, State::Done);
    world.check_whole(&repo);
}

#[tokio::test]
async fn a_place_that_is_no_folder_is_named() {
    let world = World::new(model(10)).await;
    fs::write(world.cache().dir(), "in the way").unwrap();
    let last = world.pull().await;
    assert_eq!(last.state, State::Failed);
    assert!(last.reason.unwrap().contains("models--mlx-community--tiny-4bit"));
    assert_eq!(leftovers(world.dir.path()).len(), 0);
}
