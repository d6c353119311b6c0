//! F1: a program that downloads is killed at random moments, again and again. What comes out is right, and little came twice.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use hearth_test_hub::{Fault, Kind};

use crate::support::{MODEL, WEIGHTS, World, model};

/// `HEARTH_KILLS=50x200` kills fifty times in a download of 200 MB.
const DEFAULT: (usize, usize) = (10, 20);
/// What may come twice after each kill: it was on its way, or not yet written.
const CHUNK: u64 = 8 << 20;

fn kills_and_megabytes() -> (usize, usize) {
    let Ok(text) = std::env::var("HEARTH_KILLS") else { return DEFAULT };
    let (kills, size) = text.split_once('x').expect("HEARTH_KILLS is KILLSxMEGABYTES");
    (kills.parse().expect("a number of kills"), size.parse().expect("a number of megabytes"))
}

/// The example of this crate, which cargo builds beside the tests.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(|deps| deps.parent()).unwrap().join("examples/pull")
}

fn pull(world: &World) -> Command {
    let mut command = Command::new(program());
    command.arg(MODEL).env("HF_ENDPOINT", world.hub.url()).env("HF_HUB_CACHE", world.dir.path());
    command.env_remove("HF_HUB_OFFLINE").env("NO_PROXY", "127.0.0.1").stdout(Stdio::null()).stderr(Stdio::null());
    command
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
        let mut child = pull(&world).spawn().unwrap();
        world.hub.has_sent(world.hub.bytes_sent("") + fastrand::u64(0..size / kills as u64)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!world.cache().dir().join("snapshots").exists(), "ready before it was verified");
    }
    world.hub.heal();
    assert!(pull(&world).status().unwrap().success());
    world.check_whole(&repo);
    let twice = world.hub.bytes_sent(WEIGHTS) - size;
    println!("{kills} kills in {megabytes} MB: {twice} bytes came twice");
    assert!(twice <= kills as u64 * CHUNK, "{twice} bytes came twice");
}
