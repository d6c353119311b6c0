//! What requests wait for that is in files: read once, counted, given up where it is of no use.

use super::*;
use crate::disk_tier::FileName;

/// Asks for a cache that is in a file, which the first turn begins to read.
fn reading(dir: &Path, stuck: bool) -> (Rig, RequestId, Vec<u32>) {
    let cache = with_disk(1 << 20, dir, 1 << 20);
    let mut rig = Rig::plain(cache.clone());
    let (_, turn) = rig.ask(&text(1, 300), None);
    rig.obey(Command::Shutdown);
    let mut rig = Rig::plain(cache);
    rig.ask(&[9], None);
    let file = |file: &std::fs::DirEntry| file.file_name().to_str().unwrap().ends_with("safetensors");
    if stuck {
        // Whoever opens this waits for a writer that never comes.
        let path = std::fs::read_dir(dir).unwrap().flatten().find(file).unwrap().path();
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    }
    let id = rig.add(&turn, 100, None);
    rig.turn();
    assert!(rig.device.scheduler.waits_for_files());
    (rig, id, turn)
}

#[test]
fn what_was_read_for_a_request_that_is_gone_is_not_kept() {
    let dir = TempDir::new().unwrap();
    let (mut rig, id, _) = reading(dir.path(), false);
    rig.obey(Command::Cancel(id));
    let Message::Disk(event) = rig.link.1.recv().unwrap() else { panic!("nothing was read") };
    rig.device.settle(event);
    assert!(rig.device.caches.holds_nothing_read());
}

#[test]
fn what_was_read_counts_and_gives_way_first() {
    let dir = TempDir::new().unwrap();
    let (mut rig, id, turn) = reading(dir.path(), false);
    let Message::Disk(event) = rig.link.1.recv().unwrap() else { panic!("nothing was read") };
    rig.device.settle(event);
    let (kept, read) = (rig.device.caches.bytes(), rig.device.caches.read_bytes());
    assert!(kept > 0 && read >= 64 * 300, "{kept} {read}");
    rig.obey(Command::Limit(kept + read));
    assert!(!rig.device.caches.holds_nothing_read(), "there is room for it");
    rig.obey(Command::Limit(kept + read - 1));
    assert!(rig.device.caches.holds_nothing_read() && rig.device.caches.bytes() == kept);
    rig.obey(Command::Limit(1 << 20));
    rig.run();
    assert_eq!((rig.answer(id), rig.reuse(id).source), (expected(&turn, 100), CacheSource::Disk), "it is read again");
}

#[test]
fn one_file_is_read_once_for_all_who_wait_for_it() {
    let dir = TempDir::new().unwrap();
    let (mut rig, _, turn) = reading(dir.path(), false);
    rig.add(&turn, 100, None);
    let Message::Disk(event) = rig.link.1.recv().unwrap() else { panic!("nothing was read") };
    rig.device.begin_waiting();
    rig.device.settle(event);
    rig.run();
    assert!(rig.link.1.try_recv().is_err(), "it was not read again");
    assert_eq!(rig.count(|counts| &counts.imports), 1);
}

#[test]
fn who_finds_a_better_file_lets_go_of_the_one_that_was_read() {
    let dir = TempDir::new().unwrap();
    let cache = with_disk(1 << 20, dir.path(), 1 << 20);
    let mut rig = Rig::plain(cache.clone());
    let turns: Vec<_> = (1..3).map(|seed| rig.ask(&text(seed, 300), None).1).collect();
    rig.obey(Command::Shutdown);
    let mut rig = Rig::plain(cache);
    rig.ask(&[9], None);
    let prompts: Vec<_> = turns.iter().map(|turn| [turn.as_slice(), &[5; 40]].concat()).collect();
    let ids: Vec<_> = prompts.iter().map(|prompt| rig.add(prompt, 100, None)).collect();
    rig.turn();
    for _ in 0..2 {
        let Message::Disk(event) = rig.link.1.recv().unwrap() else { panic!("nothing was read") };
        rig.device.settle(event);
    }
    let better = |prompt: &Vec<u32>| {
        let (tokens, cuts) = (prompt[..330].to_vec(), Default::default());
        let label = disk_tier::Label { tokens, cuts, session: None };
        disk_tier::Indexed { name: FileName::of("fake", &label.tokens), label, used: std::time::SystemTime::now() }
    };
    rig.device.settle(disk_tier::Event::Indexed(prompts.iter().map(better).collect()));
    rig.device.begin_waiting();
    for _ in 0..2 {
        // It is not there.
        let gone = rig.link.1.recv_timeout(Duration::from_secs(20)).expect("both are asked for");
        let Message::Disk(event @ disk_tier::Event::Gone(_)) = gone else { panic!("it was read") };
        rig.device.settle(event);
    }
    rig.run();
    for (id, prompt) in ids.into_iter().zip(&prompts) {
        assert_eq!(rig.answer(id), expected(prompt, 100));
    }
}

#[test]
fn a_disk_that_hangs_holds_nobody_up_for_ever() {
    let dir = TempDir::new().unwrap();
    let (mut rig, id, turn) = reading(dir.path(), true);
    rig.device.give_up_waiting(Instant::now());
    assert!(rig.device.scheduler.waits_for_files(), "not yet");
    rig.device.give_up_waiting(Instant::now() + crate::caches::READ);
    rig.run();
    assert_eq!((rig.answer(id), rig.reuse(id).source), (expected(&turn, 100), CacheSource::None));
}
