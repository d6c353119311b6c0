//! F1: a program that downloads is killed at random moments, again and again. What comes out is right, and little came twice.

use hearth_test_hub::{Fault, Kind};

use crate::support::{WEIGHTS, World, model};

/// `HEARTH_KILLS=50x200` kills fifty times in a download of 200 MB.
const DEFAULT: (usize, usize) = (10, 20);
/// What may come twice after each kill: it was on its way, or not yet written.
const CHUNK: u64 = 8 << 20;

fn kills_and_megabytes() -> (usize, usize) {
    let Ok(text) = std::env::var("HEARTH_KILLS") else { return DEFAULT };
    let (kills, size) = text.split_once('x').expect("HEARTH_KILLS is KILLSxMEGABYTES");
    (kills.parse().expect("a number of kills"), size.parse().expect("a number of megabytes"))
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_moments_lose_next_to_nothing() {
    let (kills, megabytes) = kills_and_megabytes();
    let size = megabytes as u64 * 1_000_000;
    let repo = model(size as usize);
    let world = World::new(repo.clone()).await;
    // Slow enough that the kill comes before the rest does.
    world.hub.fault(Fault::always("/cdn/", Kind::Slow(40_000_000)));
    for _ in 0..kills {
        let mut child = world.program().spawn().unwrap();
        world.hub.has_sent(world.hub.bytes_sent("") + fastrand::u64(0..size / kills as u64)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!world.cache().dir().join("snapshots").exists(), "ready before it was verified");
    }
    world.hub.heal();
    assert!(world.program().status().unwrap().success());
    world.check_whole(&repo);
    let twice = world.hub.bytes_sent(WEIGHTS) - size;
    println!("{kills} kills in {megabytes} MB: {twice} bytes came twice");
    assert!(twice <= kills as u64 * CHUNK, "{twice} bytes came twice");
}
