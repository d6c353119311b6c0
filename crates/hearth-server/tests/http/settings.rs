//! The settings of the server itself, and the API key that is made in the page.

use aws_lc_rs::digest::{SHA256, digest};
use hearth_engine::WorkerState;
use hearth_server::admin::Stored;
use serde_json::{Value, json};

use crate::{
    admin::{World, code},
    support::{Answer, until},
};

async fn change(world: &World, changes: Value) -> Value {
    let answer = world.ask("PATCH", "/settings", &changes.to_string()).await;
    assert_eq!(answer.status, 200, "{changes}: {answer:?}");
    answer.json()
}

#[tokio::test]
async fn what_is_set_is_stored_beside_what_is_in_force() {
    let world = World::new(None).await;
    let before = world.get("/settings").await;
    for name in ["port", "network", "memory", "cache_memory", "cache_disk", "idle_timeout"] {
        assert_eq!(before[name], Value::Null, "{name}");
    }
    assert_eq!((&before["in_force"]["port"], &before["from"]["port"]), (&json!(1), &json!("flag")));
    assert_eq!(before["api_key"], json!({"set": true}));
    // Of the next start: a disk cache that was 100 bytes and is left to the default now.
    assert_eq!(before["needs_restart"], true);
    let after = change(&world, json!({"cache_disk": 100, "default_model": "one"})).await;
    assert_eq!((&after["cache_disk"], &after["default_model"]), (&json!(100), &json!("owner/one")));
    assert_eq!(after["needs_restart"], false);
    for (changes, needed) in [
        (json!({"port": 9}), false),
        (json!({"memory": 8_u64 << 30}), false),
        (json!({"memory": 1 << 30}), true),
        (json!({"memory": null}), false),
        (json!({"network": true}), true),
        (json!({"network": false}), false),
        (json!({"cache_memory": 0}), true),
    ] {
        assert_eq!(change(&world, changes.clone()).await["needs_restart"], needed, "{changes}");
    }
    assert_eq!(world.get("/settings").await["in_force"], before["in_force"]);
}

#[tokio::test]
async fn what_cannot_be_is_named_and_nothing_changed() {
    let world = World::new(None).await;
    for (name, value) in [
        ("port", json!(0)),
        ("port", json!(65_536)),
        ("network", json!("yes")),
        ("memory", json!(12)),
        ("cache_disk", json!(-1)),
        ("cache_memory", json!(1.5)),
        ("idle_timeout", json!("10m")),
        ("idle_timeout", json!(-2)),
    ] {
        let answer = world.ask("PATCH", "/settings", &json!({"cache_disk": 7, name: value}).to_string()).await;
        assert_eq!(code(&answer), (400, "invalid_setting".to_owned()), "{name} {value}");
        assert_eq!(answer.json()["error"]["param"], name);
    }
    let answer = world.ask("PATCH", "/settings", r#"{"cache_disk": 7, "theme": "dark"}"#).await;
    assert!(answer.error().contains("hub_endpoint, port, network"), "{}", answer.error());
    assert_eq!(world.get("/settings").await["cache_disk"], Value::Null);
}

#[tokio::test]
async fn the_idle_time_counts_at_once() {
    let world = World::new(None).await;
    for model in ["one", "ember"] {
        Answer::read(&mut world.chat(model).await).await.json();
    }
    let unloads_in = |model: &str| {
        let status = world.server.engine.find(model).unwrap();
        (status.worker == WorkerState::Ready).then(|| status.unloads_in.map_or(-1, |time| time.as_secs() as i64))
    };
    until(|| unloads_in("one").is_some_and(|seconds| (1..=600).contains(&seconds)), "the default").await;
    let own = r#"{"settings": {"keep_alive": 3600}}"#;
    assert_eq!(world.ask("PATCH", "/models/ember", own).await.status, 200);
    let after = change(&world, json!({"idle_timeout": -1})).await;
    assert_eq!((&after["in_force"]["idle_timeout"], &after["from"]["idle_timeout"]), (&json!(-1), &json!("setting")));
    until(|| unloads_in("one") == Some(-1), "the time that was set").await;
    assert!(unloads_in("ember").is_some_and(|seconds| seconds > 0));
    let after = change(&world, json!({"idle_timeout": null})).await;
    assert_eq!((&after["in_force"]["idle_timeout"], &after["from"]["idle_timeout"]), (&json!(600), &json!("default")));
    until(|| unloads_in("one").is_some_and(|seconds| (1..=600).contains(&seconds)), "the default again").await;
}

#[tokio::test]
async fn a_key_that_is_made_is_needed_at_once_until_it_is_taken_back() {
    let world = World::start(None, None).await;
    let models = async |header: &[(&str, &str)]| world.server.send("GET", "/v1/models", header, "").await.status;
    assert_eq!(models(&[]).await, 200);
    let network = json!({"network": true}).to_string();
    assert_eq!(code(&world.ask("PATCH", "/settings", &network).await), (409, "key_needed".to_owned()));
    let make = async || world.ask("POST", "/key", "{}").await.json()["key"].as_str().unwrap().to_owned();
    let (first, key) = (make().await, make().await);
    assert!(first != key && key.starts_with("hearth-") && key.len() == 71, "{key}");
    assert_eq!(models(&[]).await, 401);
    assert_eq!(models(&[("x-api-key", &first)]).await, 401);
    assert_eq!(models(&[("x-api-key", &key)]).await, 200);
    assert_eq!(models(&[("Authorization", &format!("Bearer {key}"))]).await, 200);
    let settings = world.get("/settings").await;
    assert_eq!(settings["api_key"], json!({"set": true}));
    assert!(!settings.to_string().contains("sha256"), "{settings}");
    // What lies on disk does not open anything.
    let stored = std::fs::read(world.home.path().join("hearth.db-wal")).unwrap();
    assert!(!stored.windows(key.len()).any(|bytes| bytes == key.as_bytes()));
    change(&world, json!({"network": true})).await;
    assert_eq!(code(&world.ask("DELETE", "/key", "").await), (409, "key_needed".to_owned()));
    change(&world, json!({"network": null})).await;
    assert_eq!(world.ask("DELETE", "/key", "").await.json(), json!({"set": false}));
    assert_eq!((models(&[]).await, world.get("/settings").await["api_key"].clone()), (200, json!({"set": false})));
}

#[tokio::test]
async fn of_keys_that_are_made_at_once_the_last_one_stays_after_a_restart() {
    let world = World::start(None, None).await;
    for _ in 0..20 {
        let make = async || world.ask("POST", "/key", "{}").await.json()["key"].as_str().unwrap().to_owned();
        let keys: [String; 4] = tokio::join!(make(), make(), make(), make()).into();
        let stored = Stored::read(world.home.path()).await.unwrap().key_hash.unwrap();
        for key in keys {
            let answer = world.server.send("GET", "/v1/models", &[("x-api-key", &key)], "").await;
            let digest = digest(&SHA256, key.as_bytes());
            let hash: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(answer.status == 200, hash == stored);
        }
    }
}

#[tokio::test]
async fn the_status_says_how_full_the_cache_on_disk_is() {
    let world = World::new(None).await;
    assert_eq!(world.get("/status").await["cache"], json!({"dir": "/caches", "limit": 100, "used": 7}));
}
