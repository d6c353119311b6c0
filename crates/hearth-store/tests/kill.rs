//! Kills a process while it writes, again and again: the database stays sound, what was committed is there, and what was
//! written together is there together. Without the test harness, since this program is also the one that is killed.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hearth_store::{Conversation, ConversationChanges, DownloadState, MessageChanges, NewMessage, Store};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

const WRITER: &str = "HEARTH_TEST_WRITES_TO";

/// The longest that opening may take after a crash; much more than it does, since test machines are slow.
const OPENING: Duration = Duration::from_secs(3);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match env::var_os(WRITER) {
        Some(path) => write(Path::new(&path)).await,
        None => kill_writers().await,
    }
}

/// Writes until it is killed, and prints each number once it is committed.
async fn write(path: &Path) {
    let store = Store::open(path).await.unwrap().store;
    let conversation = conversation(&store).await;
    // What was written last may lack its download.
    for number in store.models().await.unwrap().len().saturating_sub(1).. {
        let source = format!("owner/model-{number}");
        // Two statements of one transaction: a numbered name needs a look before the row is written.
        let model = store.add_model(&source, &"wide ".repeat(500), "model").await.unwrap();
        let mut download = store.queue_download(&source, "main").await.unwrap();
        download.state = DownloadState::Done;
        store.update_download(&download).await.unwrap();
        let answer = NewMessage { content: format!("Word{number} and more."), ..NewMessage::default() };
        let answer = store.add_message(&conversation.id, answer).await.unwrap();
        let longer = MessageChanges { content: Some(format!("Said{number} and more.")), ..MessageChanges::default() };
        store.change_message(&conversation.id, &answer.id, longer).await.unwrap();
        store.set_setting("last", &model.api_name).await.unwrap();
        println!("{number}");
    }
}

/// The only one, made where there is none.
async fn conversation(store: &Store) -> Conversation {
    match store.conversations(None, 1).await.unwrap().0.pop() {
        Some(conversation) => conversation,
        None => store.add_conversation(ConversationChanges::default()).await.unwrap(),
    }
}

async fn kill_writers() {
    let kills: u64 = env::var("HEARTH_TEST_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("hearth.db");
    let (mut committed, mut slowest) = (0, Duration::ZERO);
    for _ in 0..kills {
        committed = committed.max(kill_one(&path));
        let began = Instant::now();
        let opened = Store::open(&path).await.unwrap();
        slowest = slowest.max(began.elapsed());
        assert_eq!(opened.set_aside, None);
        check(&opened.store, committed).await;
        opened.store.close().await;
        assert_eq!(integrity(&path).await, "ok");
    }
    let bytes = fs::metadata(&path).unwrap().len();
    println!("{kills} kills, {committed} commits kept, {bytes} bytes, slowest opening {slowest:?}");
    assert!(committed > kills as usize && slowest < OPENING);
}

/// Starts a writer and kills it while it writes; answers how many it had said are committed.
fn kill_one(path: &Path) -> usize {
    let mut child = Command::new(env::current_exe().unwrap()).env(WRITER, path).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| line.unwrap().parse::<usize>().unwrap());
    let first = lines.by_ref().take(fastrand::usize(2..6)).last();
    // It writes on while this thread turns: where within a write the kill comes is left to chance.
    let moment = Instant::now() + Duration::from_micros(fastrand::u64(0..3000));
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    let last = lines.last().or(first);
    child.wait().unwrap();
    last.unwrap() + 1
}

async fn check(store: &Store, committed: usize) {
    let models = store.models().await.unwrap();
    let downloads = store.downloads().await.unwrap();
    assert!(models.len() >= committed, "{} models of {committed}", models.len());
    let done = downloads.iter().filter(|download| download.state == DownloadState::Done).count();
    assert!(done >= committed && done + 1 >= models.len(), "{done} downloads, {committed} committed");
    let said = store.messages(&conversation(store).await).await.unwrap();
    assert!(said.iter().filter(|message| message.content.starts_with("Said")).count() >= committed);
    let words = format!("said{}", committed - 1);
    assert_eq!(store.search_conversations(&words, None, 1).await.unwrap().0.len(), 1, "{words}");
    let last: String = store.setting("last").await.unwrap().unwrap();
    assert!(models[committed - 1..].iter().any(|model| model.api_name == last), "{last}");
}

async fn integrity(path: &Path) -> String {
    let mut database = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    // With what was said beside it; SQLite's own check looks at the search's tables alone.
    let search = "INSERT INTO message_words (message_words, rank) VALUES ('integrity-check', 1)";
    sqlx::query(search).execute(&mut database).await.unwrap();
    sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut database).await.unwrap()
}
