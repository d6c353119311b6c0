//! What servers do wrong (F2, F3): each ends in the right bytes, or in a sentence that names the culprit.

use std::time::{Duration, Instant};

use hearth_hub::download::{Download, DownloadOptions, State};
use hearth_hub::files::Revision;
use hearth_hub::registry::{Hub, HubOptions, Proxies};
use hearth_test_hub::{Fault, File, Kind, Repo, TestHub};
use tokio::io::AsyncWriteExt;

use crate::support::{HASTY, MODEL, PATIENCE, WEIGHTS, World, leftovers, model, model_of, noise, repo};

const SIZE: usize = 300_000;

/// Downloads under faults; the content has to be right, and at most `bytes` of weights sent.
async fn survives(faults: Vec<Fault>, bytes: u64) {
    let repo = model(SIZE);
    let world = World::new(repo.clone()).await;
    let name = format!("{faults:?}");
    faults.into_iter().for_each(|fault| world.hub.fault(fault));
    let last = world.pull().await;
    assert_eq!((last.state, last.reason), (State::Done, None), "{name}");
    world.check_whole(&repo);
    let sent = world.hub.bytes_sent(WEIGHTS);
    assert!(sent <= bytes, "{name}: {sent} bytes");
}

/// Downloads under a fault that stays; the reason has to say all of `words`.
async fn fails(fault: Fault, words: &[&str]) {
    let world = World::new(model(SIZE)).await;
    world.hub.fault(fault.clone());
    let reason = match world.manifest().await {
        Err(error) => error.to_string(),
        Ok(manifest) => {
            let last = Download::start(world.client(), manifest, DownloadOptions::default()).finished().await;
            assert_eq!(last.state, State::Failed, "{fault:?}");
            last.reason.unwrap()
        }
    };
    assert!(words.iter().all(|word| reason.contains(word)), "{fault:?}: {reason}");
    assert!(!world.cache().dir().join("snapshots").exists(), "{fault:?}");
}

fn cut_at(bytes: u64) -> Fault {
    Fault::once("/cdn/", Kind::CutAfter(bytes))
}

const WHOLE: u64 = SIZE as u64;

#[tokio::test]
async fn cuts_are_resumed_where_they_were() {
    survives(vec![cut_at(100_000), cut_at(50_000), cut_at(0)], WHOLE).await;
    survives(vec![Fault::once("/cdn/", Kind::Short(1000))], WHOLE).await;
}

#[tokio::test]
async fn stalls_are_noticed_and_resumed_where_they_were() {
    let repo = model(SIZE);
    let world = World::with(HASTY, repo.clone()).await;
    world.hub.fault(Fault::once("/cdn/", Kind::StallAfter(100_000)));
    world.pull_whole().await;
    world.check_whole(&repo);
    assert_eq!(world.hub.bytes_sent(WEIGHTS), WHOLE);
}

#[tokio::test]
async fn a_stall_that_stays_is_said() {
    let world = World::with(HASTY, model(SIZE)).await;
    world.hub.fault(Fault::always("/cdn/", Kind::StallAfter(0)));
    let last = world.pull().await;
    assert!(last.state == State::Failed && last.reason.unwrap().contains("nothing came for 0.3 s"));
}

#[tokio::test]
async fn more_cuts_than_retries_are_survived_while_something_comes() {
    survives((0..12).map(|_| cut_at(20_000)).collect(), WHOLE).await;
}

#[tokio::test]
async fn lies_about_ranges_begin_the_file_anew() {
    for lie in [Kind::IgnoreRange, Kind::WrongContentRange] {
        survives(vec![cut_at(100_000), Fault::once("/cdn/", lie)], WHOLE + 400_000).await;
    }
}

#[tokio::test]
async fn wrong_and_superfluous_bytes_fetch_only_their_file_again() {
    for at in [0, 150_000, WHOLE - 1] {
        survives(vec![Fault::once("/cdn/", Kind::WrongByte(at))], 2 * WHOLE).await;
    }
    survives(vec![Fault::once("/cdn/", Kind::Long(5))], 2 * WHOLE + 5).await;
    let changed = [cut_at(100_000), Fault::once("/cdn/", Kind::Etag("another".into()))];
    survives(changed.to_vec(), WHOLE).await;
}

#[tokio::test]
async fn a_content_that_changed_under_way_is_never_mixed() {
    // The part is of another content than the rest: together they have the wrong hash.
    survives(vec![cut_at(100_000), Fault::once("/cdn/", Kind::WrongByte(200_000))], 2 * WHOLE).await;
}

#[tokio::test]
async fn refusals_that_pass_are_waited_for() {
    for status in [408, 429, 500, 502, 503, 504] {
        let refusals =
            ["/revision/", "/tree/", "/resolve/", "/cdn/"].map(|on| Fault::once(on, Kind::Status(status, vec![])));
        survives(refusals.to_vec(), WHOLE).await;
    }
    survives(vec![Fault { times: 3, ..Fault::always(WEIGHTS, Kind::RedirectLoop) }], WHOLE).await;
}

#[tokio::test]
async fn retry_after_is_heeded() {
    let world = World::new(model(SIZE)).await;
    world.hub.fault(Fault::once(WEIGHTS, Kind::Status(429, vec![("retry-after", "1".into())])));
    let start = Instant::now();
    world.pull_whole().await;
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn what_does_not_pass_ends_in_a_sentence() {
    let always = |on, kind| Fault::always(on, kind);
    let status = |on, status| Fault::always(on, Kind::Status(status, vec![]));
    fails(always("/cdn/", Kind::WrongByte(9)), &[WEIGHTS, "its hash is another", MODEL]).await;
    fails(always("/cdn/", Kind::Long(1)), &[WEIGHTS, "longer than listed"]).await;
    fails(always("/cdn/", Kind::Short(1)), &["the transfer ended early", "try again later"]).await;
    fails(status("/cdn/", 503), &["status 503", "try again later"]).await;
    fails(always("/resolve/", Kind::RedirectLoop), &["redirect"]).await;
    fails(status("/resolve/", 404), &[MODEL]).await;
    let gone = Kind::Status(404, vec![("x-error-code", "EntryNotFound".into())]);
    fails(always(WEIGHTS, gone), &[WEIGHTS, "no longer in", "start the download again"]).await;
    fails(status("/tree/", 500), &["status 500"]).await;
    fails(status("/revision/", 429), &["status 429"]).await;
}

#[tokio::test]
async fn an_endless_restart_ends() {
    let world = World::new(model(SIZE)).await;
    world.hub.fault(Fault::once("/cdn/", Kind::CutAfter(100_000)));
    // Ranges are ignored, and the connection is cut before anything new comes.
    world.hub.fault(Fault::always("/cdn/", Kind::CutAfter(0)));
    let last = world.pull().await;
    assert_eq!((last.state, last.bytes > 0), (State::Failed, true));
}

async fn refusal(token: Option<&str>, code: u16, error: &str) -> String {
    let world = World::new(model(10)).await;
    let error = vec![("x-error-code", error.to_owned())];
    world.hub.fault(Fault::always("/api/", Kind::Status(code, error)));
    let hub = Hub::new(HubOptions { token: token.map(Into::into), ..world.options() }).unwrap();
    hub.manifest(&repo(), &Revision::main()).await.unwrap_err().to_string().replace(&world.hub.url(), "HUB")
}

#[tokio::test]
async fn refusals_say_what_a_person_can_do() {
    let terms = format!("{MODEL} is gated: accept its terms at HUB/{MODEL}");
    assert_eq!(refusal(Some("t"), 403, "GatedRepo").await, terms);
    let with_token = format!("{terms}, and give a token of yours in HF_TOKEN");
    assert_eq!(refusal(None, 401, "GatedRepo").await, with_token);
    assert_eq!(refusal(None, 403, "").await, with_token);
    let revoked = "the Hub does not accept your token: make a new one at HUB/settings/tokens, and give it in HF_TOKEN";
    assert_eq!(refusal(Some("t"), 401, "").await, revoked);
    let spelling = format!("there is no {MODEL} at HUB: check the spelling");
    assert_eq!(refusal(Some("t"), 404, "RepoNotFound").await, spelling);
    let hidden = format!("{spelling}, and give a token in HF_TOKEN if it is private");
    assert_eq!(refusal(None, 401, "RepoNotFound").await, hidden);
    let revision = format!("{MODEL} has no revision main: leave it out for the newest");
    assert_eq!(refusal(None, 404, "RevisionNotFound").await, revision);
    assert!(refusal(Some("t"), 403, "").await.contains("may not read"));
}

#[tokio::test]
async fn a_gated_model_comes_with_a_token_and_the_token_stays_with_the_hub() {
    let mut gated = model(SIZE);
    gated.gated = true;
    let world = World::new(gated.clone()).await;
    assert!(world.manifest().await.unwrap_err().to_string().contains("is gated"));
    let hub = Hub::new(HubOptions { token: Some("hf_secret".into()), ..world.options() }).unwrap();
    let manifest = hub.manifest(&repo(), &Revision::main()).await.unwrap();
    let last = Download::start(&hub, manifest, DownloadOptions::default()).finished().await;
    assert_eq!(last.state, State::Done);
    world.check_whole(&gated);
    let asked = world.hub.seen();
    let said = asked.iter().filter(|seen| seen.authorization.as_deref() == Some("Bearer hf_secret"));
    assert!(said.count() >= 7 && asked[0].authorization.is_none());
    let mut elsewhere = asked.iter().filter(|seen| seen.path.starts_with("/cdn/"));
    assert!(elsewhere.next().is_some_and(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn no_hub_at_all_is_said_too() {
    let world = World::new(model(10)).await;
    let options = HubOptions { endpoint: "http://127.0.0.1:1".into(), ..world.options() };
    let error = Hub::new(options).unwrap().manifest(&repo(), &Revision::main()).await.unwrap_err().to_string();
    assert!(error.starts_with("http://127.0.0.1:1 does not answer as it should"), "{error}");
    let offline = HubOptions { offline: true, ..world.options() };
    let error = Hub::new(offline).unwrap().manifest(&repo(), &Revision::main()).await.unwrap_err().to_string();
    assert!(error.contains("offline mode"), "{error}");
    assert!(world.hub.seen().is_empty());
}

#[tokio::test]
async fn a_proxy_is_used() {
    // A proxy gets whole addresses; the test hub answers those like its own.
    let hub = TestHub::start(vec![model(10)]).await.unwrap();
    let proxies = Proxies { http: Some(hub.url()), ..Proxies::default() };
    let dir = tempfile::tempdir().unwrap();
    let options = HubOptions { proxies, patience: PATIENCE, ..HubOptions::new("http://hub.invalid", dir.path()) };
    let manifest = Hub::new(options).unwrap().manifest(&repo(), &Revision::main()).await.unwrap();
    assert_eq!(manifest.files.len(), 5);
}

#[tokio::test]
async fn hostile_lists_are_refused_by_name_and_touch_nothing() {
    let names = [
        "../evil.json",
        "/etc/evil",
        "a/../../evil.json",
        "a\\evil.json",
        "evil\0.json",
        "./evil",
        "a//evil",
        "C:evil",
    ];
    for name in names {
        let mut hostile = model(10);
        hostile.files.push(File::new(name, "x"));
        let world = World::new(hostile).await;
        let error = world.manifest().await.unwrap_err().to_string();
        assert!(error.contains("evil") && error.contains("not a plain relative path"), "{error}");
        assert_eq!(std::fs::read_dir(world.dir.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn too_many_files_are_refused() {
    let files = (0..4097).map(|at| File::new(format!("{at}.json"), "")).collect();
    let world = World::new(Repo::new(MODEL, files)).await;
    let error = world.manifest().await.unwrap_err().to_string();
    assert_eq!(error, format!("{MODEL} is not downloaded: it has more than 4096 files"));
}

#[tokio::test]
async fn a_size_that_is_not_the_files_is_never_believed() {
    for (told, words) in [(SIZE as u64 - 1, "longer than listed"), (SIZE as u64 + 1, "than")] {
        let mut liar = model_of(noise(SIZE, 1));
        liar.files[3].size = told;
        let world = World::new(liar).await;
        let last = world.pull().await;
        assert_eq!(last.state, State::Failed);
        let reason = last.reason.unwrap();
        assert!(reason.contains(words) || reason.contains("ended early"), "{reason}");
        assert!(leftovers(world.dir.path()).iter().all(|path| std::fs::metadata(path).unwrap().len() <= told));
    }
}

/// A server that speaks plain HTTP where its address begins with https://, to so many clients.
async fn without_tls(clients: usize) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        for _ in 0..clients {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            // It stays open, so that the answer is read before the end.
            open.push(stream);
        }
        std::future::pending::<()>().await;
    });
    address
}

#[tokio::test]
async fn a_server_without_tls_is_named_at_once() {
    // A second request would wait for an answer that nobody gives.
    let address = without_tls(1).await;
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubOptions { patience: PATIENCE, ..HubOptions::new(&address, home.path()) }).unwrap();
    let error = hub.manifest(&repo(), &Revision::main()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("{address} cannot be trusted (")) && error.contains("HF_ENDPOINT"), "{error}");
}

#[tokio::test]
async fn a_connection_that_is_not_trusted_ends_a_download_only_when_the_next_ones_are_not_either() {
    let elsewhere = |address: String| Kind::Status(302, vec![("location", address)]);
    survives(vec![Fault::once("/cdn/", elsewhere(without_tls(1).await))], WHOLE).await;
    let never = Fault::always("/cdn/", elsewhere(without_tls(usize::MAX).await));
    fails(never, &["cannot be trusted (", "HF_ENDPOINT"]).await;
}
