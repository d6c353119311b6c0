//! `hearth pull` without a server: from a Hub of our own into the cache, through kills, pauses and refusals.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, ChildStdout, Command, Stdio};

use hearth_test_hub::{Fault, File, Kind, Repo};
use hearth_tests::hub::{Downloads, ember_as, told};
use hearth_tests::models::ember;
use hearth_tests::process::{self, Signal};
use serde_json::Value;

const REPO: &str = "tests/Little-Ember";

fn weights() -> u64 {
    fs::metadata(ember().join("model.safetensors")).unwrap().len()
}

/// Whether the model lies in the cache as the Hub has it.
fn is_whole(world: &Downloads) -> bool {
    let snapshots = world.home().join("huggingface/hub/models--tests--Little-Ember/snapshots");
    let snapshot = fs::read_dir(snapshots).unwrap().flatten().next().unwrap().path();
    fs::read(snapshot.join("model.safetensors")).unwrap() == fs::read(ember().join("model.safetensors")).unwrap()
}

#[test]
fn what_is_downloaded_can_be_asked_at_once() {
    let world = Downloads::from(vec![ember_as(REPO)]);
    let (code, out, aside) = world.run(&["pull", REPO]);
    assert_eq!((code, out.starts_with(&format!("Downloaded {REPO}, "))), (Some(0), true), "{out}{aside}");
    assert!(aside.contains(&format!("{REPO}: done, ")) && is_whole(&world), "{aside}");
    for name in [REPO, "little-ember"] {
        let (code, out, aside) = world.run(&["run", name, "What is the capital of France?"]);
        assert_eq!((code, out.contains("Paris"), aside.as_str()), (Some(0), true, ""), "{out}");
    }
    let sent = world.hub.bytes_sent("model.safetensors");
    assert_eq!(world.run(&["pull", REPO]).0, Some(0));
    assert_eq!((sent, world.hub.bytes_sent("model.safetensors")), (weights(), weights()), "it is there already");
}

#[test]
fn for_programs_each_change_is_a_line() {
    let world = Downloads::from(vec![ember_as(REPO)]);
    let (code, out, aside) = world.run(&["pull", REPO, "--json"]);
    assert_eq!((code, aside.as_str()), (Some(0), ""));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["repo"], &last["state"], &last["bytes"]), (&REPO.into(), &"done".into(), &last["total"]));
    assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "{out}");
}

/// Starts a download that stops in the middle of the weights, and reads what it prints until that is there.
fn stalled(world: &Downloads) -> (Child, Lines<BufReader<ChildStdout>>) {
    world.hub.fault(Fault::once("/cdn/", Kind::StallAfter(weights() / 2)));
    let mut child = world.command(&["pull", REPO, "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let bytes = |line: &str| serde_json::from_str::<Value>(line).unwrap()["bytes"].as_u64().unwrap();
    lines.by_ref().map_while(Result::ok).find(|line| bytes(line) > weights() / 2).unwrap();
    (child, lines)
}

#[test]
fn after_a_kill_it_goes_on() {
    let world = Downloads::from(vec![ember_as(REPO)]);
    let (mut child, _lines) = stalled(&world);
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, _, aside) = world.run(&["pull", REPO]);
    assert_eq!(code, Some(0), "{aside}");
    assert!(is_whole(&world));
    let sent = world.hub.bytes_sent("model.safetensors");
    assert!(sent < weights() + weights() / 4, "{sent} bytes of {} were sent", weights());
}

#[test]
fn ctrl_c_pauses_and_says_how_to_go_on() {
    let world = Downloads::from(vec![ember_as(REPO)]);
    let (child, lines) = stalled(&world);
    process::signal(child.id(), Signal::INT);
    let last: Value = serde_json::from_str(&lines.map_while(Result::ok).last().unwrap()).unwrap();
    let (code, _, rest) = told(child.wait_with_output().unwrap());
    assert_eq!((code, &last["state"]), (Some(130), &"paused".into()), "{rest}");
    assert!(rest.starts_with("Paused at ") && rest.ends_with(&format!("To go on: hearth pull {REPO}\n")), "{rest}");
    assert_eq!(world.run(&["pull", REPO]).0, Some(0));
    assert!(is_whole(&world));
}

#[test]
fn what_cannot_be_downloaded_says_why() {
    let gated = Repo { gated: true, ..ember_as("tests/Gated") };
    let hostile = Repo::new("tests/Hostile", vec![File::new("../config.json", "{}")]);
    let world = Downloads::from(vec![ember_as(REPO), gated, hostile]);
    for (arguments, part) in [
        (&["pull", "tests/Gated"][..], "tests/Gated is gated: accept its terms at "),
        (&["pull", "tests/None"], "there is no tests/None at "),
        (&["pull", REPO, "--revision", "v9"], "has no revision v9"),
        (&["pull", "Little-Ember"], "`Little-Ember` is not a model's name on the Hub"),
        (&["pull", "tests/Hostile"], "not a plain relative path"),
        (&["run", "tests/None", "Hi"], "download it with `hearth pull tests/None`"),
        (&["run", "embr", "Hi"], "here is no model `embr`; perhaps you mean `ember`"),
    ] {
        let (code, out, aside) = world.run(arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}: {aside}");
        let last = aside.lines().last().unwrap();
        assert!(last.starts_with("ERROR: ") && last.contains(part), "{arguments:?}: {aside}");
    }
    let offline = world.command(&["pull", REPO]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let (code, _, aside) = told(offline);
    assert!(code == Some(1) && aside.contains("offline mode"), "{aside}");
}

/// `command` as somebody whom no file belongs to; who runs the tests as root may write everywhere.
fn as_nobody(command: Command) -> Command {
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(command.get_program());
    nobody.args(command.get_args()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nobody.env(name, value),
            None => nobody.env_remove(name),
        };
    }
    nobody
}

#[test]
fn a_cache_that_is_not_ones_own_is_named() {
    let world = Downloads::from(vec![ember_as(REPO)]);
    let (cache, data) = (world.home().join("huggingface"), world.home().join("data"));
    for (folder, mode) in [(&cache, 0o555), (&data, 0o777), (&world.home().to_owned(), 0o755)] {
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    }
    let mut command = world.command(&["pull", REPO]);
    command.env("HEARTH_HOME", &data).env("HOME", &data);
    let is_root = fs::metadata(&cache).unwrap().uid() == 0;
    let mut command = if is_root { as_nobody(command) } else { command };
    let (code, out, aside) = told(command.output().unwrap());
    assert_eq!((code, out.as_str()), (Some(1), ""), "{aside}");
    let last = aside.lines().last().unwrap();
    let culprit = format!("ERROR: {}/", cache.display());
    assert!(last.starts_with(&culprit) && last.contains("may not be read or written (Permission denied"), "{aside}");
    assert!(last.contains("name another folder in HF_HUB_CACHE"), "{aside}");
}
