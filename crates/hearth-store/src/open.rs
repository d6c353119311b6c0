//! Opening the database, and what becomes of one that cannot be: a damaged file is set aside and a fresh one made, since
//! Hearth must start; what it held is still in the file that was set aside. One of a newer Hearth is not touched.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sqlx::{
    Sqlite, SqliteConnection, SqlitePool,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{Error, Result, migrations};

/// How long a write waits for another process's.
const BUSY: Duration = Duration::from_secs(5);

/// What SQLite says of a file in which it finds no fault.
const SOUND: &str = "ok";

/// Makes all that the search looks through anew.
const REBUILD: &str = "\
    INSERT INTO title_words (title_words) VALUES ('rebuild'); \
    INSERT INTO message_words (message_words) VALUES ('rebuild');";

/// Readers beside the one writer that SQLite allows.
const CONNECTIONS: u32 = 4;

/// The open database. Clones share it; several processes may have it open.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: SqlitePool,
}

/// What opening came to.
#[derive(Debug)]
pub struct Opened {
    /// The database.
    pub store: Store,
    /// Where a damaged one now lies, in whose place a fresh one was made.
    pub set_aside: Option<PathBuf>,
}

impl Store {
    /// Opens the database at `path`, made with its folders where there is none, and brings it to the latest schema.
    /// Only its owner can read it.
    pub async fn open(path: &Path) -> Result<Opened> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        // Held while opening, so that of two processes that start at once one does what follows, and the other finds it done.
        let _lock = lock(path).map_err(failed)?;
        let damage = match try_open(path).await {
            Ok(store) => return Ok(Opened { store, set_aside: None }),
            Err(Error::Database(error)) if is_damage(&error) => error,
            Err(Error::Database(error)) => return Err(failed(io::Error::other(error))),
            Err(error) => return Err(error),
        };
        let aside = set_aside(path).map_err(failed)?;
        tracing::warn!(
            "{} is damaged ({damage}): it is now {}, and a new one is made",
            path.display(),
            aside.display()
        );
        Ok(Opened { store: try_open(path).await?, set_aside: Some(aside) })
    }

    /// Runs a statement that changes one row of `what`.
    pub(crate) async fn change(&self, query: Query<'_, Sqlite, SqliteArguments>, what: &'static str) -> Result<()> {
        let rows = query.execute(&self.pool).await?.rows_affected();
        if rows == 0 { Err(Error::Gone(what)) } else { Ok(()) }
    }

    /// Ends all connections, so that the database is one file again.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside(path, ".lock"))?;
    file.lock()?;
    Ok(file)
}

/// Sees to it that the file is there and its owner's alone; SQLite gives the files beside it the same permissions. One that
/// is there is not opened: closing it would end the locks that this process may have on it (SQLite's "How To Corrupt", 2.2).
fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(_) if path.is_file() => fs::set_permissions(path, Permissions::from_mode(0o600)),
        made => made.map(drop),
    }
}

async fn try_open(path: &Path) -> Result<Store> {
    make_private(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A crash of the process loses nothing; of the machine, at most the last moments, never the database.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY)
        .foreign_keys(true);
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
    match prepare(&pool, path).await {
        Ok(()) => Ok(Store { pool }),
        Err(error) => {
            pool.close().await;
            Err(error)
        }
    }
}

async fn prepare(pool: &SqlitePool, path: &Path) -> Result<()> {
    let mut database = pool.acquire().await?;
    let verdict = check(&mut database).await?;
    if verdict != SOUND && !search_was_at_fault(pool).await {
        return Err(Error::Database(sqlx::Error::Protocol(verdict)));
    }
    migrations::run(&mut database, path).await
}

/// What SQLite says of the whole file.
async fn check(database: &mut SqliteConnection) -> sqlx::Result<String> {
    sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(database).await
}

/// Makes the search's tables anew from what was said, and keeps them where the file is sound then; else nothing has changed.
async fn search_was_at_fault(pool: &SqlitePool) -> bool {
    let mended = async {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(REBUILD).execute(&mut *transaction).await?;
        let verdict = check(&mut transaction).await?;
        if verdict == SOUND { transaction.commit().await } else { Err(sqlx::Error::Protocol(verdict)) }
    };
    match mended.await {
        Ok(()) => tracing::warn!("the search through conversations was damaged, and is made anew"),
        Err(error) => {
            tracing::debug!("not the search alone is damaged: {error}");
            return false;
        }
    }
    true
}

/// Whether the file itself is at fault, and not the disk, its permissions, or another process.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<i32>().ok());
            // SQLITE_ERROR (a schema that is not ours), SQLITE_CORRUPT, SQLITE_NOTADB; the low byte is the kind.
            code.is_some_and(|code| [1, 11, 26].contains(&(code & 0xff)))
        }
        // What quick_check says.
        sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

/// Renames the database and what SQLite keeps beside it; answers where it lies now.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let free = (now..).map(|time| beside(path, &format!(".damaged-{time}"))).find(|aside| !aside.exists());
    let aside = free.ok_or(io::ErrorKind::AlreadyExists)?;
    for end in ["-wal", "-shm"] {
        match fs::rename(beside(path, end), beside(&aside, end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;

    use super::*;
    use crate::{ConversationChanges, NewMessage, testing};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_new_database_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/hearth.db");
        let opened = Store::open(&path).await.unwrap();
        assert_eq!(opened.set_aside, None);
        testing::add(&opened.store, "One").await;
        for file in [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")] {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        Store::open(&path).await.unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[tokio::test]
    async fn it_is_there_again_after_closing_and_for_a_second_process() {
        let (_home, path) = testing::place();
        let one = Store::open(&path).await.unwrap().store;
        let model = testing::add(&one, "One").await;
        let two = Store::open(&path).await.unwrap().store;
        assert_eq!(two.models().await.unwrap(), std::slice::from_ref(&model));
        one.close().await;
        two.close().await;
        assert!(!beside(&path, "-wal").exists());
        assert_eq!(Store::open(&path).await.unwrap().store.models().await.unwrap(), [model]);
    }

    #[tokio::test]
    async fn a_damaged_database_is_set_aside_with_all_its_bytes() {
        let sound = sound().await;
        let mut torn = sound.clone();
        torn.truncate(sound.len() / 2);
        let mut scribbled = sound.clone();
        scribbled[4096..12288].fill(0x5a);
        let mut headless = sound.clone();
        headless[..16].fill(0);
        let text = b"no database, and long enough to be taken for the first page of one ".repeat(200);
        for (case, bytes) in [("torn", torn), ("scribbled", scribbled), ("headless", headless), ("text", text)] {
            let (home, path) = testing::place();
            fs::write(&path, &bytes).unwrap();
            let opened = Store::open(&path).await.unwrap();
            let aside = opened.set_aside.unwrap_or_else(|| panic!("{case}: not found damaged"));
            let name = aside.file_name().unwrap().to_str().unwrap();
            let time: u64 = name.strip_prefix("hearth.db.damaged-").unwrap().parse().unwrap();
            assert!(time > 1_700_000_000, "{case}: {name}");
            assert_eq!(aside.parent(), Some(home.path()));
            assert!(fs::read(&aside).unwrap() == bytes, "{case}: changed");
            assert_eq!(opened.store.models().await.unwrap(), []);
            assert_eq!(Store::open(&path).await.unwrap().set_aside, None, "{case}: the new one is sound");
        }
    }

    #[tokio::test]
    async fn where_only_the_search_is_damaged_it_is_made_anew_and_all_else_stays() {
        for damage in [
            "UPDATE message_words_data SET block = zeroblob(length(block)) WHERE id > 10",
            "UPDATE title_words_data SET block = x'ffffffffffff' WHERE id > 10",
            "DELETE FROM message_words_data",
            "DELETE FROM message_words_docsize; DELETE FROM message_words_data WHERE id = 10",
        ] {
            let (_home, path) = testing::place();
            let store = Store::open(&path).await.unwrap().store;
            let title = ConversationChanges { title: Some(Some("Boats".to_owned())), ..ConversationChanges::default() };
            let conversation = store.add_conversation(title).await.unwrap();
            for number in 0..100 {
                let message = NewMessage { content: format!("mast{number} and sail"), ..NewMessage::default() };
                store.add_message(&conversation.id, message).await.unwrap();
            }
            store.close().await;
            let mut database = testing::connect(&path).await;
            let changed = sqlx::raw_sql(damage).execute(&mut database).await.unwrap().rows_affected();
            assert!(changed > 0, "{damage}");
            database.close().await.unwrap();
            let Opened { store, set_aside } = Store::open(&path).await.unwrap();
            assert_eq!(set_aside, None, "{damage}");
            for words in ["boat", "mast77"] {
                assert_eq!(store.search_conversations(words, None, 9).await.unwrap().0.len(), 1, "{damage}: {words}");
            }
        }
    }

    /// A database with enough rows to fill some pages.
    async fn sound() -> Vec<u8> {
        let (_home, path) = testing::place();
        let store = Store::open(&path).await.unwrap().store;
        for number in 0..200 {
            store.set_setting(&format!("key {number}"), &"value ".repeat(20)).await.unwrap();
        }
        store.close().await;
        fs::read(path).unwrap()
    }

    #[tokio::test]
    async fn tables_that_are_not_ours_count_as_damage() {
        let (_home, path) = testing::place();
        let mut database = testing::connect(&path).await;
        sqlx::raw_sql("CREATE TABLE models (x)").execute(&mut database).await.unwrap();
        drop(database);
        assert!(Store::open(&path).await.unwrap().set_aside.is_some());
    }

    #[tokio::test]
    async fn a_newer_database_is_refused_and_left_alone() {
        let (home, path) = testing::place();
        Store::open(&path).await.unwrap().store.close().await;
        let mut database = testing::connect(&path).await;
        sqlx::raw_sql("PRAGMA user_version = 1000").execute(&mut database).await.unwrap();
        drop(database);
        let message = Store::open(&path).await.unwrap_err().to_string();
        assert!(message.contains("newer version of Hearth (schema 1000, this one knows"), "{message}");
        let names = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("damaged")));
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_opened_is_named() {
        let (home, path) = testing::place();
        fs::create_dir(&path).unwrap();
        for place in [path.clone(), home.path().join("hearth.db.lock/hearth.db")] {
            let message = Store::open(&place).await.unwrap_err().to_string();
            assert!(message.contains(place.to_str().unwrap()) && message.contains("HEARTH_HOME"), "{message}");
        }
    }

    #[tokio::test]
    async fn two_that_open_a_new_database_at_once_both_succeed() {
        let (_home, path) = testing::place();
        let open = || {
            let path = path.clone();
            let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            std::thread::spawn(move || runtime().block_on(async { Store::open(&path).await.unwrap().set_aside }))
        };
        let threads = [open(), open(), open(), open()];
        assert!(threads.into_iter().all(|thread| thread.join().unwrap().is_none()));
    }
}
