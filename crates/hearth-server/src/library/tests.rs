//! The library on a folder of its own, with Ember in it and a Hub that fails on demand.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hearth_hub::{
    download::{DownloadOptions, State},
    fit::Machine,
    registry::HubOptions,
    retry::Patience,
    scan::{Layout, Root},
    search::Search,
};
use hearth_test_hub::{Fault, File, Kind, Repo, TestHub};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const MODEL: &str = "mlx-community/Tiny-4bit";
const SIZE: usize = 1_000_000;

/// A model that a scan finds sound: one tensor of `size` bytes.
fn files(size: usize) -> Vec<(&'static str, Vec<u8>)> {
    let header = format!(r#"{{"w":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}}}"#);
    let weights = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![7; size]].concat();
    let config = json!({"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                        "num_attention_heads": 4, "vocab_size": 256, "max_position_embeddings": 4096});
    vec![
        ("config.json", config.to_string().into_bytes()),
        ("model.safetensors", weights),
        ("tokenizer.json", b"{}".to_vec()),
    ]
}

fn repo(name: &str, size: usize) -> Repo {
    Repo::new(name, files(size).into_iter().map(|(name, content)| File::new(name, content)).collect())
}

fn write(dir: &Path, size: usize) {
    fs::create_dir_all(dir).unwrap();
    for (name, content) in files(size) {
        fs::write(dir.join(name), content).unwrap();
    }
}

struct World {
    hub: TestHub,
    home: TempDir,
}

impl World {
    async fn new(repos: Vec<Repo>) -> Self {
        let world = Self { hub: TestHub::start(repos).await.unwrap(), home: tempfile::tempdir().unwrap() };
        let ember = world.data().join("models/ember-0123");
        fs::create_dir_all(&ember).unwrap();
        for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/ember")).unwrap().flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), ember.join(entry.file_name())).unwrap();
            }
        }
        world
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn own(&self) -> PathBuf {
        self.data().join("models")
    }

    fn options(&self) -> LibraryOptions {
        let patience = Patience { retries: 1, first_wait: Duration::from_millis(2), ..Patience::default() };
        let cache = self.home.path().join("hub");
        LibraryOptions {
            data_dir: self.data(),
            hub: HubOptions { patience, ..HubOptions::new(self.hub.url(), &cache) },
            roots: vec![Root::new(self.own(), Layout::Repositories), Root::new(cache, Layout::HubCache)],
            builtin: Builtin { source: "ember".into(), name: "Ember".into(), dir: self.own().join("ember-0123") },
            known: vec!["llama".into(), "qwen3".into()],
            machine: Machine { chip: None, limit: 8 << 30, bandwidth: None, gpu: false },
            downloads: DownloadOptions { reserve: 0, ..DownloadOptions::default() },
        }
    }

    async fn open(&self) -> Library {
        let library = Library::open(self.options()).await.unwrap();
        library.scan().await.unwrap();
        library
    }

    /// The next download stops after so many bytes of its weights.
    fn stall(&self) {
        self.hub.fault(Fault::once("/cdn/", Kind::StallAfter(400_000)));
    }
}

async fn until(library: &Library, id: i64, what: impl Fn(&Download) -> bool) -> Download {
    let mut events = library.events();
    let wait = async {
        loop {
            let now = library.find_download(id).unwrap();
            if what(&now) {
                return now;
            }
            events.recv().await.unwrap();
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("it comes in time")
}

async fn ends(library: &Library, id: i64) -> Download {
    until(library, id, |download| download.state.is_final()).await
}

async fn rename(library: &Library, model: &str, name: &str) -> Result<Model> {
    library.change(model, &Change { name: Some(name.to_owned()), ..Change::default() }).await
}

async fn remove(library: &Library, model: &str) -> Result<u64> {
    let mut removal = library.removal(model).await?;
    removal.withdraw();
    removal.carry_out().await
}

fn ids(models: &[Model]) -> Vec<&str> {
    models.iter().map(|model| model.id.as_str()).collect()
}

fn object(value: &Value) -> &serde_json::Map<String, Value> {
    value.as_object().unwrap()
}

#[tokio::test]
async fn ember_is_always_there_and_an_older_one_is_not_listed() {
    let world = World::new(vec![]).await;
    write(&world.own().join("ember-0042"), 10);
    let library = world.open().await;
    let models = library.models().await.unwrap();
    assert_eq!(ids(&models), ["ember"]);
    let ember = &models[0];
    assert!(ember.builtin && ember.default && ember.is_ready() && ember.fit.is_some(), "{ember:?}");
    assert_eq!((ember.name.as_str(), ember.source.as_str(), ember.repo.as_deref()), ("Ember", "ember", None));
    let message = remove(&library, "ember").await.unwrap_err().to_string();
    assert_eq!(message, "Ember is part of Hearth and cannot be removed");
    assert!(world.own().join("ember-0123/config.json").exists());
}

#[tokio::test]
async fn a_model_is_shown_with_its_names_its_state_and_its_fit() {
    let world = World::new(vec![]).await;
    write(&world.own().join("owner/Tiny Llama"), 10);
    write(&world.own().join("owner/Big"), 100);
    fs::remove_file(world.own().join("owner/Big/model.safetensors")).unwrap();
    let library = world.open().await;
    let tiny = library.model("TINY-LLAMA").await.unwrap();
    assert_eq!((tiny.weights, tiny.bits, tiny.model_type.as_deref()), (Some(10), None, Some("llama")));
    let shown = json!(library.model("big").await.unwrap());
    assert_eq!(shown["state"]["value"], "partial");
    assert!(shown["state"]["reason"].as_str().unwrap().contains("model.safetensors"), "{shown}");
    assert_eq!(
        (&shown["fit"], &shown["source"], &shown["default"]),
        (&Value::Null, &json!("owner/Big"), &json!(false))
    );
    let message = library.model("tiny-lama").await.unwrap_err().to_string();
    assert!(message.contains("tiny-llama"), "{message}");
}

#[tokio::test]
async fn names_pins_and_settings_outlive_the_process() {
    let world = World::new(vec![]).await;
    write(&world.own().join("owner/One"), 10);
    write(&world.own().join("owner/Two"), 10);
    let library = world.open().await;
    let renamed = rename(&library, "one", "My Model").await.unwrap();
    assert_eq!((renamed.id.as_str(), renamed.name.as_str()), ("my-model", "My Model"));
    let alias = Change { aliases: Some(vec!["gpt-4o".to_owned()]), ..Change::default() };
    library.change("my-model", &alias).await.unwrap();
    let settings = object(&json!({"temperature": 0.25, "keep_alive": -1})).clone();
    let change = Change { pinned: Some(true), settings: Some(settings), ..Change::default() };
    library.change("gpt-4o", &change).await.unwrap();
    library.change_settings(object(&json!({"default_model": "my-model"}))).await.unwrap();
    for taken in ["MY model", "gpt-4o", "ember"] {
        let message = rename(&library, "two", taken).await.unwrap_err().to_string();
        assert!(message.contains("belongs to"), "{message}");
    }
    assert!(rename(&library, "two", "a/b").await.unwrap_err().to_string().contains("a slash"));
    let again = world.open().await;
    let models = again.models().await.unwrap();
    assert_eq!(ids(&models), ["my-model", "ember", "two"]);
    let one = &models[0];
    assert!(one.default && one.pinned && one.aliases == ["gpt-4o"], "{one:?}");
    assert_eq!((one.settings.temperature, one.settings.keep_alive), (Some(0.25), Some(-1)));
    again.change_settings(object(&json!({"default_model": null}))).await.unwrap();
    assert!(again.model("ember").await.unwrap().default);
}

#[tokio::test]
async fn a_download_ends_as_an_installed_model_and_is_one_per_repository() {
    let world = World::new(vec![repo(MODEL, SIZE)]).await;
    let library = world.open().await;
    let mut events = library.events();
    let download = library.download(MODEL, None).await.unwrap();
    assert_eq!(library.download(MODEL, Some("main")).await.unwrap().id, download.id);
    let message = library.download(MODEL, Some("v2")).await.unwrap_err().to_string();
    assert!(message.contains("is being downloaded at revision main"), "{message}");
    let last = ends(&library, download.id).await;
    assert_eq!((last.state, last.reason, last.total), (State::Done, None, Some(last.bytes)));
    // Who hears of the end finds the model.
    let model = library.model("tiny-4bit").await.unwrap();
    assert_eq!((model.source.as_str(), model.is_ready()), (MODEL, true));
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Download(download) => told.push(format!("{:?}", download.state)),
            Event::Models => told.push("models".to_owned()),
            Event::Forgotten(_) => told.push("forgotten".to_owned()),
        }
    }
    told.dedup();
    assert_eq!(told[..2], ["Queued", "Checking"]);
    let position = |name: &str| told.iter().rposition(|one| one == name);
    assert!(position("models") < position("Done"), "{told:?}");
    assert!(matches!(library.pause(download.id), Err(LibraryError::Ended { .. })));
    assert_eq!(library.downloads().len(), 1);
    library.cancel(download.id).await.unwrap();
    assert!(library.downloads().is_empty() && world.open().await.downloads().is_empty());
}

#[tokio::test]
async fn a_pause_keeps_what_came_over_a_restart_and_a_resume_fetches_the_rest() {
    let world = World::new(vec![repo(MODEL, SIZE)]).await;
    world.stall();
    let library = world.open().await;
    let id = library.download(MODEL, None).await.unwrap().id;
    until(&library, id, |download| download.bytes >= 400_000).await;
    library.pause(id).unwrap();
    let paused = until(&library, id, |download| download.state == State::Paused).await;
    assert_eq!((paused.reason, paused.bytes_per_second), (None, 0));
    let again = world.open().await;
    again.go_on();
    let found = again.find_download(id).unwrap();
    assert!(found.state == State::Paused && found.bytes >= 400_000, "{found:?}");
    again.resume(id).unwrap();
    assert_eq!(ends(&again, id).await.state, State::Done);
    assert!(world.hub.bytes_sent("model.safetensors") < 1_000_000 + 1000, "some of it came twice");
}

/// The first library stands for a server that was killed: its tasks end with its runtime.
#[test]
fn what_was_under_way_goes_on_after_a_kill() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (hub, first, second) = (runtime(), runtime(), runtime());
    let world = hub.block_on(World::new(vec![repo(MODEL, SIZE)]));
    world.stall();
    let id = first.block_on(async {
        let library = world.open().await;
        let id = library.download(MODEL, None).await.unwrap().id;
        until(&library, id, |download| download.bytes >= 400_000).await;
        id
    });
    first.shutdown_timeout(Duration::from_secs(20));
    second.block_on(async {
        let library = world.open().await;
        tokio::spawn({
            let library = library.clone();
            async move { library.run().await }
        });
        let last = ends(&library, id).await;
        assert_eq!((last.state, last.reason), (State::Done, None));
    });
    assert!(world.hub.bytes_sent("model.safetensors") < 1_000_000 + 1000, "some of it came twice");
}

/// The scan that makes it a model of the list has to wait here.
#[tokio::test]
async fn what_has_come_whole_is_neither_cancelled_nor_paused() {
    let world = World::new(vec![repo("o/one", SIZE), repo("o/two", SIZE)]).await;
    let library = world.open().await;
    for (name, stop) in [("one", true), ("two", false)] {
        let scan = library.inner.scanning.lock().await;
        let id = library.download(&format!("o/{name}"), None).await.unwrap().id;
        let reference = world.home.path().join(format!("hub/models--o--{name}/refs/main"));
        while !reference.exists() {
            tokio::task::yield_now().await;
        }
        match stop {
            true => library.cancel(id).await.unwrap(),
            false => library.pause(id).unwrap(),
        };
        drop(scan);
        let last = ends(&library, id).await;
        assert_eq!((last.state, last.total), (State::Done, Some(last.bytes)));
        assert!(library.model(name).await.unwrap().is_ready());
    }
}

/// A pipe that nobody writes to holds its reader as a dead disk does.
struct Dead {
    root: Root,
    pipe: PathBuf,
}

impl Dead {
    /// A folder with one model, and a library that has seen it. From the next look on it does not answer.
    async fn new(world: &World) -> (Self, Library) {
        let root = Root::new(world.home.path().join("dead"), Layout::HubCache);
        let pipe = root.path.join("models--o--kept/refs/main");
        write(&root.path.join("models--o--kept/snapshots/0"), 10);
        fs::create_dir_all(pipe.parent().unwrap()).unwrap();
        let mut options = world.options();
        options.roots.push(root.clone());
        let library = Library::open(options).await.unwrap();
        library.scan().await.unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        (Self { root, pipe }, library)
    }

    async fn look(&self, library: &Library) {
        let machine = library.machine().await;
        library.look(&self.root, &machine, Duration::ZERO).await;
    }

    /// Lets go of its reader once the guard is dropped.
    fn answer(&self) -> fs::File {
        fs::OpenOptions::new().write(true).open(&self.pipe).unwrap()
    }
}

async fn lists(library: &Library, expected: &[&str]) {
    let mut events = library.events();
    let wait = async {
        while ids(&library.models().await.unwrap()) != expected {
            events.recv().await.unwrap();
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("it is listed in time");
}

#[tokio::test]
async fn a_folder_that_does_not_answer_holds_up_nothing_else() {
    let world = World::new(vec![repo(MODEL, SIZE)]).await;
    let (dead, library) = Dead::new(&world).await;
    dead.look(&library).await;
    let silent = library.silent_folders().await.unwrap();
    assert_eq!((silent.len(), silent[0].path.as_str()), (1, dead.root.path.to_str().unwrap()));
    assert!(silent[0].reason.contains("its models are shown as they last were"), "{}", silent[0].reason);
    assert!(library.model("kept").await.unwrap().is_ready(), "it stays as it was");
    let message = library.removal("kept").await.map(drop).unwrap_err().to_string();
    assert_eq!(message, silent[0].reason);
    let message = library.model("unseen").await.unwrap_err().to_string();
    assert!(message.contains(&format!("or it is in {}, which does not answer", silent[0].path)), "{message}");

    let scan = library.scan_within(Duration::from_secs(3600));
    timeout(Duration::from_secs(20), scan).await.expect("it is not waited for once more").unwrap();
    let id = library.download(MODEL, None).await.unwrap().id;
    assert_eq!(ends(&library, id).await.state, State::Done);
    assert_eq!(ids(&library.models().await.unwrap()), ["ember", "kept", "tiny-4bit"]);

    let answer = dead.answer();
    fs::remove_dir_all(dead.root.path.join("models--o--kept")).unwrap();
    drop(answer);
    lists(&library, &["ember", "tiny-4bit"]).await;
    assert!(library.silent_folders().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_slow_folder_answers_is_listed_without_another_look() {
    let world = World::new(vec![]).await;
    let (slow, library) = Dead::new(&world).await;
    write(&slow.root.path.join("models--o--late/snapshots/0"), 10);
    slow.look(&library).await;
    drop(slow.answer());
    // Another look would wait at the pipe.
    lists(&library, &["ember", "kept", "late"]).await;
    assert!(library.silent_folders().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_folder_that_never_answered_has_no_models_to_show() {
    let world = World::new(vec![]).await;
    let (dead, seen) = Dead::new(&world).await;
    let library =
        Library::open(LibraryOptions { data_dir: world.home.path().join("other"), ..seen.inner.options.clone() });
    let library = library.await.unwrap();
    dead.look(&library).await;
    let reason = library.silent_folders().await.unwrap().remove(0).reason;
    assert!(reason.contains("none of its models is known"), "{reason}");
}

#[tokio::test]
async fn two_downloads_run_at_a_time() {
    let names = ["o/one", "o/two", "o/three"];
    let world = World::new(names.map(|name| repo(name, SIZE)).to_vec()).await;
    world.hub.fault(Fault { on: "/cdn/".into(), kind: Kind::StallAfter(400_000), times: 2 });
    let library = world.open().await;
    let mut ids = Vec::new();
    for name in names {
        ids.push(library.download(name, None).await.unwrap().id);
    }
    for id in &ids[..2] {
        until(&library, *id, |download| download.bytes >= 400_000).await;
    }
    assert_eq!(library.find_download(ids[2]).unwrap().state, State::Queued);
    library.pause(ids[0]).unwrap();
    assert_eq!(ends(&library, ids[2]).await.state, State::Done);
    library.cancel(ids[1]).await.unwrap();
    let cancelled = ends(&library, ids[1]).await;
    assert_eq!((cancelled.state, cancelled.bytes), (State::Cancelled, 0));
    assert!(!world.home.path().join("hub/models--o--two").exists());
    // One that was paused before this process began, too.
    let again = world.open().await;
    again.cancel(ids[0]).await.unwrap();
    assert_eq!(ends(&again, ids[0]).await.reason, None);
    assert!(!world.home.path().join("hub/models--o--one").exists());
}

#[tokio::test]
async fn a_download_that_fails_says_why_and_can_be_tried_again() {
    let world = World::new(vec![Repo { gated: true, ..repo(MODEL, SIZE) }]).await;
    let library = world.open().await;
    let id = library.download(MODEL, None).await.unwrap().id;
    let failed = ends(&library, id).await;
    assert_eq!(failed.state, State::Failed);
    assert!(failed.reason.unwrap().contains("is gated: accept its terms"));
    world.hub.serve(vec![repo(MODEL, SIZE)]);
    library.resume(id).unwrap();
    assert_eq!(ends(&library, id).await.state, State::Done);
    let none = library.download("o/none", None).await.unwrap().id;
    assert!(ends(&library, none).await.reason.unwrap().contains("there is no o/none"));
    for name in ["none", "../x", "a/b/c"] {
        assert!(library.download(name, None).await.unwrap_err().to_string().contains("owner/name"), "{name}");
    }
}

#[tokio::test]
async fn removing_frees_what_it_says_and_waits_for_no_download() {
    let world = World::new(vec![repo(MODEL, SIZE)]).await;
    let library = world.open().await;
    let id = library.download(MODEL, None).await.unwrap().id;
    ends(&library, id).await;
    rename(&library, "tiny-4bit", "Mine").await.unwrap();
    world.hub.serve(vec![repo(MODEL, SIZE + 1)]);
    world.stall();
    let id = library.download(MODEL, None).await.unwrap().id;
    until(&library, id, |download| download.bytes >= 400_000).await;
    for refused in [remove(&library, "mine").await.map(drop), library.forget(id).await] {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("is being downloaded"), "{message}");
    }
    library.cancel(id).await.unwrap();
    ends(&library, id).await;
    let bytes: u64 = files(SIZE).iter().map(|(_, content)| content.len() as u64).sum();
    let freed = remove(&library, "mine").await.unwrap();
    assert!((bytes..bytes + 100).contains(&freed), "{freed} of {bytes}");
    assert_eq!(ids(&library.models().await.unwrap()), ["ember"]);
    assert!(library.downloads().is_empty());
    // Its name is free again.
    assert_eq!(rename(&library, "ember", "Mine").await.unwrap().id, "mine");
}

#[tokio::test]
async fn what_is_being_removed_is_not_downloaded_and_what_cannot_go_stays() {
    let world = World::new(vec![repo(MODEL, SIZE)]).await;
    let library = world.open().await;
    let id = library.download(MODEL, None).await.unwrap().id;
    ends(&library, id).await;
    let mut removal = library.removal("tiny-4bit").await.unwrap();
    let downloaded = library.download(&MODEL.to_lowercase(), None).await.map(drop);
    for refused in [downloaded, library.removal("tiny-4bit").await.map(drop)] {
        assert!(matches!(refused, Err(LibraryError::Removing(_))), "{refused:?}");
    }
    removal.withdraw();
    assert_eq!(ids(&library.models().await.unwrap()), ["ember"]);
    // Python's download of it begins in this very moment.
    let locks = world.home.path().join("hub/.locks").join(format!("models--{}", MODEL.replace('/', "--")));
    let lock = fs::File::create(locks.join("0123.lock")).unwrap();
    lock.lock().unwrap();
    let message = removal.carry_out().await.unwrap_err().to_string();
    assert!(message.contains("is being downloaded"), "{message}");
    assert!(library.model("tiny-4bit").await.unwrap().is_ready(), "it is listed again");
    drop(lock);
    let id = library.download(MODEL, None).await.unwrap().id;
    assert_eq!(ends(&library, id).await.state, State::Done);
}

#[tokio::test]
async fn a_paused_download_stays_as_it_is_until_its_repository_is_removed() {
    let world = World::new(vec![repo(MODEL, SIZE)]).await;
    world.stall();
    let library = world.open().await;
    let id = library.download(MODEL, None).await.unwrap().id;
    until(&library, id, |download| download.bytes >= 400_000).await;
    library.pause(id).unwrap();
    until(&library, id, |download| download.state == State::Paused).await;
    library.scan().await.unwrap();
    let mut removal = loop {
        match library.removal("tiny-4bit").await {
            // Its task is about to end.
            Err(LibraryError::Downloading { .. }) => tokio::task::yield_now().await,
            removal => break removal.unwrap(),
        }
    };
    let refused = [library.download(MODEL, None).await, library.resume(id), library.cancel(id).await];
    for refused in refused {
        assert!(matches!(refused, Err(LibraryError::Removing(_))), "{refused:?}");
    }
    assert_eq!(library.find_download(id).unwrap().state, State::Paused);
    removal.withdraw();
    removal.carry_out().await.unwrap();
    assert!(library.downloads().is_empty());
    assert_eq!(rename(&library, "ember", "Tiny-4bit").await.unwrap().id, "tiny-4bit", "its name is free");
}

#[tokio::test]
async fn a_removal_is_carried_out_though_nobody_waits_and_holds_up_no_scan() {
    let world = World::new(vec![]).await;
    let dir = world.own().join("owner/One");
    write(&dir, 10);
    let library = world.open().await;
    let mut removal = library.removal("one").await.unwrap();
    removal.withdraw();
    timeout(Duration::from_secs(20), library.scan()).await.expect("it is not waited for").unwrap();
    assert_eq!(ids(&library.models().await.unwrap()), ["ember"]);
    assert!(library.is_gone(&dir));
    let held = library.inner.scanning.lock().await;
    let mut carried_out = Box::pin(removal.carry_out());
    assert!(futures_util::poll!(&mut carried_out).is_pending());
    drop((carried_out, held));
    while library.is_leaving(&dir) {
        tokio::task::yield_now().await;
    }
    assert!(!dir.exists() && library.is_gone(&dir));
    assert_eq!(library.inner.store.models().await.unwrap().len(), 1, "its names are free");
}

#[tokio::test]
async fn folders_that_are_added_are_scanned_and_watched() {
    let world = World::new(vec![]).await;
    let folder = world.home.path().join("elsewhere");
    write(&folder.join("first"), 10);
    let library = world.open().await;
    let running = tokio::spawn({
        let library = library.clone();
        async move { library.run().await }
    });
    let settings = library.change_settings(object(&json!({"model_folders": [folder]}))).await.unwrap();
    assert_eq!(settings.model_folders, std::slice::from_ref(&folder));
    assert_eq!(ids(&library.models().await.unwrap()), ["ember", "first"]);
    let mut events = library.events();
    write(&folder.join("second"), 10);
    let both = async {
        while library.models().await.unwrap().len() < 3 {
            events.recv().await.unwrap();
        }
    };
    timeout(Duration::from_secs(20), both).await.expect("it is noticed");
    running.abort();
    for (changes, message) in [
        (json!({"folders": []}), "there is no setting `folders`; there are model_folders, default_model, hub_endpoint"),
        (json!({"model_folders": ["here"]}), "model_folders must be a list of folders, each with its whole path, not"),
        (json!({"default_model": 7}), "default_model must be a model's name, not 7"),
        (json!({"default_model": "nobody"}), "nobody"),
        (json!({"hub_endpoint": "ftp://x"}), "HF_ENDPOINT is ftp://x"),
    ] {
        let said = library.change_settings(object(&changes)).await.unwrap_err().to_string();
        assert!(said.contains(message), "{said}");
    }
    assert_eq!(library.settings().await.unwrap(), settings);
}

#[tokio::test]
async fn what_could_be_here_says_whether_it_runs_and_fits() {
    let world = World::new(vec![repo(MODEL, SIZE), repo("o/small", 10)]).await;
    let library = world.open().await;
    let id = library.download("o/small", None).await.unwrap().id;
    ends(&library, id).await;
    let fit = library.fit_of(MODEL).await.unwrap();
    assert_eq!((fit.runs, fit.model_type.as_deref(), fit.fit.limit), (true, Some("llama"), 8 << 30));
    assert!((SIZE as u64..SIZE as u64 + 100).contains(&fit.fit.weights) && fit.bytes > fit.fit.weights, "{fit:?}");
    assert!(fit.fit.tokens_per_second.is_some(), "the bandwidth is measured");
    assert_eq!(world.hub.bytes_sent("model.safetensors"), (files(10)[1].1).len() as u64, "no weights are fetched");
    let found = library.search(&Search { words: "o/".into(), limit: 10, ..Search::default() }).await.unwrap();
    let found: Vec<_> = found.iter().map(|hit| (hit.found.repo.as_str(), hit.installed)).collect();
    assert!(found.contains(&("o/small", true)), "{found:?}");
    let catalog = library.catalog().await;
    assert!(catalog.len() > 20);
    let of = |kind: &str| catalog.iter().find(|model| model.family == kind).unwrap();
    assert!(of("Qwen3").runs && of("Qwen3").variants.iter().all(|variant| variant.fit.is_some()));
    assert!(!of("Gemma").runs, "this library does not know it");
}
