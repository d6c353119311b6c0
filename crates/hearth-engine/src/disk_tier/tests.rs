//! Files as they are found after faults, on a real disk.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tempfile::TempDir;

use super::folder::{Space, System};
use super::*;

const MODEL: &str = "model";

fn content(seed: u32, len: usize) -> Content {
    let tokens: Vec<u32> = (0..len as u32).map(|at| at * seed).collect();
    let cuts = Cuts { from: len, marks: vec![len / 2] };
    let data: Vec<u8> = (0..len * 8).map(|at| (at as u32 * 7 + seed) as u8).collect();
    let tensors = vec![
        Tensor { name: "0.keys".into(), dtype: "BF16".into(), shape: vec![len, 2], data: data[..len * 4].to_vec() },
        Tensor { name: "0.values".into(), dtype: "F32".into(), shape: vec![len], data: data[len * 4..].to_vec() },
        Tensor { name: "1.empty".into(), dtype: "F32".into(), shape: vec![0, 4], data: Vec::new() },
    ];
    Content { label: Label { tokens, cuts, session: Some(u64::from(seed)) }, tensors }
}

fn name(content: &Content) -> FileName {
    FileName::of(MODEL, &content.label.tokens)
}

fn folder(dir: &TempDir, bytes: u64) -> Folder {
    Folder::new(&DiskOptions { dir: dir.path().join("caches"), bytes }, "a \"checksum\":\" name")
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

/// Writes a file as if it was last used at `used`.
fn write(folder: &Folder, content: &Content, used: u64) -> io::Result<Written> {
    folder.write(name(content), MODEL, content, at(used), &mut Vec::new())
}

fn path(folder: &Folder, content: &Content) -> PathBuf {
    folder.path().join(name(content).to_string())
}

fn files(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "lock");
    names
}

fn indexed(folder: &Folder) -> Vec<FileName> {
    folder.index(MODEL).into_iter().map(|file| file.name).collect()
}

#[test]
fn a_file_gives_back_what_was_written() {
    let dir = TempDir::new().unwrap();
    let folder = folder(&dir, 1 << 20);
    let written = content(3, 100);
    assert_eq!(write(&folder, &written, 1).unwrap(), Written::Yes);
    let [found] = &folder.index(MODEL)[..] else { panic!("one file") };
    assert_eq!((found.name, &found.label, found.used), (name(&written), &written.label, at(1)));
    assert_eq!(folder.read(name(&written), MODEL).unwrap(), written);
    assert!(folder.index(MODEL)[0].used > at(1), "it was of use");
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path(&folder, &written)), mode(folder.path().into())), (0o600, 0o700));
    let bytes = fs::read(path(&folder, &written)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("cache.0.values").unwrap().shape(), [100], "others can read it, too");
}

#[test]
fn no_damage_goes_unnoticed() {
    let dir = TempDir::new().unwrap();
    let folder = folder(&dir, 1 << 20);
    let written = content(3, 20);
    write(&folder, &written, 1).unwrap();
    let path = path(&folder, &written);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for bit in [1, 0x20, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            fs::write(&path, bytes).unwrap();
            let read = folder.read(name(&written), MODEL);
            assert!(matches!(read, Err(Fault::Damaged(_) | Fault::Foreign)), "byte {at}: {read:?}");
        }
    }
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let read = folder.read(name(&written), MODEL);
        assert!(matches!(read, Err(Fault::Damaged(_))), "{len} bytes: {read:?}");
    }
    fs::write(&path, [whole.as_slice(), &[0]].concat()).unwrap();
    assert!(matches!(folder.read(name(&written), MODEL), Err(Fault::Damaged(_))), "one byte too many");
}

#[test]
fn lengths_that_cannot_be_cost_no_memory() {
    let dir = TempDir::new().unwrap();
    let folder = folder(&dir, 1 << 20);
    let written = content(3, 20);
    write(&folder, &written, 1).unwrap();
    let path = path(&folder, &written);
    for start in [u64::MAX, 1 << 40, 1 << 24] {
        fs::write(&path, [start.to_le_bytes().as_slice(), b"{}"].concat()).unwrap();
        assert!(matches!(folder.read(name(&written), MODEL), Err(Fault::Damaged(_))), "{start}");
    }
}

#[test]
fn files_of_other_models_are_left_alone_but_not_under_our_names() {
    let dir = TempDir::new().unwrap();
    let folder = folder(&dir, 1 << 20);
    let (ours, theirs) = (content(3, 20), content(4, 20));
    write(&folder, &ours, 1).unwrap();
    let other = FileName::of("other", &theirs.label.tokens);
    folder.write(other, "other", &theirs, at(1), &mut Vec::new()).unwrap();
    assert_eq!(indexed(&folder), [name(&ours)]);
    assert_eq!(folder.index("other").len(), 1);
    // Another model's file under the name of ours, which that model's worker deletes, and ours under the name of another of
    // ours.
    let wrong = content(5, 20);
    for (source, model) in [(other, "other"), (name(&ours), MODEL)] {
        fs::copy(folder.path().join(source.to_string()), path(&folder, &wrong)).unwrap();
        assert!(matches!(folder.read(name(&wrong), MODEL), Err(Fault::Damaged(_) | Fault::Foreign)));
        assert_eq!(indexed(&folder), [name(&ours)]);
        assert_eq!(folder.index(model).len(), 1);
        assert!(!path(&folder, &wrong).exists(), "deleted");
    }
    assert_eq!(folder.index("other").len(), 1);
}

#[test]
fn another_version_is_not_read() {
    let dir = TempDir::new().unwrap();
    let folder = folder(&dir, 1 << 20);
    let written = content(3, 20);
    write(&folder, &written, 1).unwrap();
    let bytes = fs::read(path(&folder, &written)).unwrap();
    let text = b"\"version\":\"1\"";
    let place = bytes.windows(text.len()).position(|window| window == text).unwrap() + text.len() - 2;
    let mut other = bytes;
    other[place] = b'2';
    fs::write(path(&folder, &written), other).unwrap();
    let Err(Fault::Damaged(why)) = folder.read(name(&written), MODEL) else { panic!("it was read") };
    assert_eq!(why, "was written by another version of Hearth");
    assert_eq!((indexed(&folder), files(&folder)), (Vec::new(), Vec::new()));
}

#[test]
fn the_cap_counts_every_file_and_the_longest_unused_goes_first() {
    let dir = TempDir::new().unwrap();
    let size = {
        let folder = folder(&dir, 1 << 20);
        write(&folder, &content(1, 100), 0).unwrap();
        let size = fs::metadata(path(&folder, &content(1, 100))).unwrap().len();
        folder.remove(name(&content(1, 100)));
        size
    };
    // Names and numbers in the headers differ by some bytes.
    let folder = folder(&dir, 3 * size + 1000 + size / 2);
    fs::create_dir(folder.path().join("sessions")).unwrap();
    fs::write(folder.path().join("sessions/one.json"), vec![0; 1000]).unwrap();
    let bytes = |file: &String| {
        let metadata = fs::metadata(folder.path().join(file)).unwrap();
        if metadata.is_file() { metadata.len() } else { 1000 }
    };
    let total = || files(&folder).iter().map(bytes).sum::<u64>();
    for seed in 2..12 {
        assert_eq!(write(&folder, &content(seed, 100), u64::from(seed)).unwrap(), Written::Yes);
        assert!(total() <= 3 * size + 1000 + size / 2);
        let left: Vec<_> = (2..=seed).filter(|&seed| path(&folder, &content(seed, 100)).exists()).collect();
        assert_eq!(left, (seed.saturating_sub(2).max(2)..=seed).collect::<Vec<_>>());
    }
    // What was used longer ago than all that is there does not push it out.
    assert!(matches!(write(&folder, &content(20, 100), 1).unwrap(), Written::NoRoom(_)));
    assert!(matches!(write(&folder, &content(21, 1000), 99).unwrap(), Written::NoRoom(_)), "larger than the cap");
    assert_eq!(indexed(&folder).len(), 3, "and nothing was given up for it");
    assert!(folder.path().join("sessions/one.json").exists());
}

#[test]
fn temporary_files_of_dead_workers_go_but_not_those_of_living_ones() {
    let dir = TempDir::new().unwrap();
    let folder = folder(&dir, 1 << 20);
    write(&folder, &content(1, 20), 1).unwrap();
    let dead = folder.path().join(format!("{}.999999-0.tmp", name(&content(2, 20))));
    fs::write(&dead, [0; 100]).unwrap();
    fs::write(folder.path().join("session.json.tmp"), [0; 100]).unwrap();
    let living = File::open(folder.path().join("lock")).unwrap();
    living.lock().unwrap();
    assert_eq!(indexed(&folder).len(), 1);
    assert!(dead.exists(), "somebody is writing");
    drop(living);
    assert_eq!(indexed(&folder).len(), 1);
    assert!(!dead.exists());
    assert!(folder.path().join("session.json.tmp").exists(), "that is none of ours");
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    // The file is made, but cannot be written to: as on a disk that is full.
    let create = |path: &Path| {
        File::create_new(path)?;
        File::open(path)
    };
    let system = System { create: Arc::new(create), ..System::default() };
    let folder = folder(&dir, 1 << 20).on(system);
    assert!(write(&folder, &content(1, 20), 1).is_err());
    assert_eq!(files(&folder), Vec::<String>::new());
}

#[test]
fn the_last_of_the_disk_is_left_to_others() {
    let dir = TempDir::new().unwrap();
    const GB: u64 = 1 << 30;
    for (free, all, written) in [(GB, 10 * GB, true), (256 << 20, 10 * GB, false), (GB, 110 * GB, false)] {
        let system = System { space: Arc::new(move |_: &Path| Ok(Space { free, all })), ..System::default() };
        let folder = folder(&dir, 1 << 20).on(system);
        let outcome = write(&folder, &content(1, 20), 1).unwrap();
        match &outcome {
            Written::Yes => assert!(written, "{free} of {all}"),
            Written::NoRoom(why) => {
                let both = [free, (256 << 20).max(all / 100)].map(|bytes| why.contains(&format!(" {bytes} ")));
                assert!(!written && both == [true, true], "{free} of {all}: {why}");
            }
        }
        folder.remove(name(&content(1, 20)));
    }
}

/// A tier and what it tells.
fn tier(folder: Folder, pending: u64) -> (DiskTier, Receiver<Event>) {
    let (sender, events) = channel();
    let tell = Arc::new(move |event| drop(sender.send(event)));
    let tier = DiskTier::with(folder, MODEL, pending, tell).unwrap();
    assert!(matches!(events.recv().unwrap(), Event::Indexed(_)));
    (tier, events)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn a_disk_that_fails_is_left_alone_for_a_while_and_said_so() {
    let dir = TempDir::new().unwrap();
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = attempts.clone();
    let create = move |_: &Path| {
        counter.fetch_add(1, SeqCst);
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    };
    let system = System { create: Arc::new(create), ..System::default() };
    let (tier, events) = tier(folder(&dir, 1 << 20).on(system), 1 << 20);
    let one = content(1, 20);
    assert!(tier.takes(10));
    tier.write(name(&one), one.clone(), at(1));
    assert!(matches!(events.recv().unwrap(), Event::Gone(file) if file == name(&one)));
    assert!(!tier.takes(10) && !tier.wait_for(10, soon()));
    tier.write(name(&one), one.clone(), at(2));
    assert!(matches!(events.recv().unwrap(), Event::Gone(_)));
    assert!(tier.drained(soon()));
    assert_eq!(attempts.load(SeqCst), 1, "not tried again");
}

#[test]
fn a_folder_that_cannot_be_made_switches_the_tier_off() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("caches"), "a file where the folder should be").unwrap();
    let (tier, events) = tier(folder(&dir, 1 << 20), 1 << 20);
    let one = content(1, 20);
    tier.write(name(&one), one.clone(), at(1));
    assert!(matches!(events.recv().unwrap(), Event::Gone(_)));
    assert!(!tier.takes(10));
}

#[test]
fn what_waits_to_be_written_is_bounded_and_can_be_read() {
    let dir = TempDir::new().unwrap();
    let all: Vec<_> = (1..5).map(|seed| content(seed, 100)).collect();
    let folder = folder(&dir, 1 << 20);
    fs::create_dir(folder.path()).unwrap();
    // The writer is held up by this.
    let lock = File::create(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let (tier, events) = tier(folder.clone(), 2 * all[0].bytes());
    tier.write(name(&all[0]), all[0].clone(), at(1));
    tier.write(name(&all[1]), all[1].clone(), at(2));
    tier.write(name(&all[2]), all[2].clone(), at(3));
    tier.read(name(&all[2]));
    let mut told = Vec::new();
    let (file, read) = loop {
        match events.recv().unwrap() {
            Event::Read(file, read) => break (file, read),
            other => told.push(other),
        }
    };
    assert_eq!((file, *read), (name(&all[2]), all[2].clone()), "from the queue");
    drop(lock);
    assert!(tier.drained(soon()));
    told.extend(events.try_iter());
    let written = told.iter().filter(|event| matches!(event, Event::Written(_))).count();
    let gone = told.iter().filter(|event| matches!(event, Event::Gone(_))).count();
    assert_eq!((written, gone), (2, 1), "the one that waited longest gave way: {told:?}");
    assert!(path(&folder, &all[2]).exists());
    tier.remove(name(&all[2]));
    assert!(tier.drained(soon()));
    assert!(!path(&folder, &all[2]).exists());
}

#[test]
fn a_damaged_file_is_deleted_when_it_is_asked_for() {
    let dir = TempDir::new().unwrap();
    let folder = folder(&dir, 1 << 20);
    let one = content(1, 100);
    write(&folder, &one, 1).unwrap();
    let mut bytes = fs::read(path(&folder, &one)).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path(&folder, &one), bytes).unwrap();
    let (tier, events) = tier(folder.clone(), 1 << 20);
    tier.read(name(&one));
    assert!(matches!(events.recv().unwrap(), Event::Gone(file) if file == name(&one)));
    assert_eq!(files(&folder), Vec::<String>::new());
}
