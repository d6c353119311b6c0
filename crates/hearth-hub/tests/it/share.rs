//! Several downloads of one model at once, and one that takes over from another that died.

use std::fs;

use hearth_hub::download::State;
use hearth_test_hub::{Fault, Kind};

use crate::support::{WEIGHTS, World, model};

const SIZE: usize = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn several_downloads_of_one_model_fetch_each_byte_once() {
    let repo = model(SIZE);
    let world = World::new(repo.clone()).await;
    world.hub.fault(Fault::once("/cdn/", Kind::Slow(2_000_000)));
    let programs = [world.program().spawn().unwrap(), world.program().spawn().unwrap()];
    let downloads = [world.start().await, world.start().await];
    for download in &downloads {
        let last = download.finished().await;
        assert_eq!((last.state, last.bytes), (State::Done, last.total), "{last:?}");
    }
    for mut program in programs {
        assert!(program.wait().unwrap().success());
    }
    world.check_whole(&repo);
    let wanted: u64 = repo.files.iter().filter(|file| file.name != "pytorch_model.bin").map(|file| file.size).sum();
    assert_eq!(world.hub.bytes_sent(""), wanted);
}

#[tokio::test]
async fn the_second_follows_the_first_and_takes_over_when_it_goes() {
    let repo = model(SIZE);
    let world = World::new(repo.clone()).await;
    world.hub.fault(Fault::once("/cdn/", Kind::StallAfter(400_000)));
    let first = world.start().await;
    let mut progress = first.progress();
    progress.wait_for(|now| now.bytes >= 400_000).await.unwrap();
    let second = world.start().await;
    let mut followed = second.progress();
    followed.wait_for(|now| now.state == State::Running && now.bytes >= 400_000).await.unwrap();
    let partial = world.partial().await;
    assert_eq!(fs::metadata(&partial).unwrap().len(), 400_000);
    drop(first);
    assert_eq!(second.finished().await.state, State::Done);
    world.check_whole(&repo);
    assert_eq!(world.hub.bytes_sent(WEIGHTS), SIZE as u64);
}
