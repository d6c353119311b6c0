//! What the page shows of the requests of others: each as far as it has come, and all of them in sums.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use hearth_engine::fake::FakeRunner;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    time::timeout,
};

use crate::{
    admin::{JSON, TOKEN, World},
    support::{Setup, request},
};

const AGENT: [(&str, &str); 3] = [JSON, ("x-api-key", "key"), ("User-Agent", "test/1")];

fn body(model: &str, more: Value) -> String {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

async fn requests(world: &World) -> Vec<Value> {
    world.get("/requests").await["requests"].as_array().unwrap().clone()
}

/// The `request` events from now on.
async fn listen(world: &World) -> Lines<BufReader<TcpStream>> {
    let host = format!("127.0.0.1:{}", world.server.port);
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("Host", host.as_str()), ("Authorization", authorization.as_str())];
    let mut stream = world.server.connect().await;
    stream.write_all(request("GET", "/admin/v1/events", &headers, "").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    while lines.next_line().await.unwrap().unwrap() != "event: status" {}
    lines
}

async fn next(lines: &mut Lines<BufReader<TcpStream>>) -> Value {
    let wait = async {
        while lines.next_line().await.unwrap().unwrap() != "event: request" {}
        let data = lines.next_line().await.unwrap().unwrap();
        serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap()
    };
    timeout(Duration::from_secs(20), wait).await.expect("an event in time")
}

#[tokio::test]
async fn an_answer_is_told_with_what_it_took() {
    let world = World::new(None).await;
    for stream in [true, false] {
        let body = body("owner/one", json!({"stream": stream, "session_id": "s", "n": 2}));
        let answer = world.server.send("POST", "/v1/chat/completions", &AGENT, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = requests(&world).await.remove(0);
        for (key, value) in [
            ("protocol", json!("openai")),
            ("path", json!("/v1/chat/completions")),
            ("client", json!("test/1")),
            ("model", json!("one")),
            ("session", json!("s")),
            ("stream", json!(stream)),
            ("state", json!("done")),
            ("error", Value::Null),
            ("finish_reason", json!("stop")),
        ] {
            assert_eq!(told[key], value, "{key}: {told}");
        }
        let end = if stream {
            answer.chunks().into_iter().rfind(|chunk| chunk["hearth"].is_object()).unwrap()
        } else {
            answer.json()
        };
        assert_eq!(end["id"], format!("chatcmpl-{}", told["id"].as_str().unwrap()));
        assert_eq!((&told["timings"], &told["cache"]), (&end["hearth"]["timings"], &end["hearth"]["cache"]));
        if !stream {
            let usage = &end["usage"];
            assert_eq!(told["prompt_tokens"], usage["prompt_tokens"]);
            assert_eq!(told["completion_tokens"], usage["completion_tokens"]);
            assert_eq!(told["cached_tokens"], usage["prompt_tokens_details"]["cached_tokens"]);
        }
        let (first, total) = (told["first_token_ms"].as_f64().unwrap(), told["total_ms"].as_f64().unwrap());
        assert!(0.0 < first && first <= total && told["at"].as_u64() > Some(1_700_000_000_000), "{told}");
    }
    let (hour, told) = (world.get("/activity").await, requests(&world).await);
    assert_eq!(hour["bucket_seconds"], 10);
    let sum = |rows: &[Value], key: &str| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
    let buckets = hour["buckets"].as_array().unwrap();
    assert_eq!((sum(buckets, "requests"), sum(buckets, "failed")), (2, 0));
    for key in ["prompt_tokens", "cached_tokens", "completion_tokens"] {
        assert_eq!(sum(buckets, key), sum(&told, key), "{key}");
    }
    let last = buckets.last().unwrap();
    assert!(last["memory"]["one"].as_u64() > Some(0) && last["first_token_ms"].as_f64() > Some(0.0), "{last}");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let world = World::new(None).await;
    for (body, model, reason) in [
        (body("none", json!({})), "none", "none"),
        (body("one", json!({"n": 0})), "", "n must be"),
        ("{".to_owned(), "", "JSON"),
    ] {
        let answer = world.server.send("POST", "/chat/completions", &AGENT, &body).await;
        let told = requests(&world).await.remove(0);
        assert_eq!((&told["state"], &told["model"]), (&json!("failed"), &json!(model)), "{told}");
        assert_eq!(told["error"], answer.error());
        assert!(answer.error().contains(reason), "{}", answer.error());
    }
    assert_eq!(world.get("/activity").await["buckets"][0]["failed"], 3);
    // Who has no key is nobody's client.
    world.server.send("POST", "/v1/chat/completions", &[JSON], "{}").await;
    assert_eq!(requests(&world).await.len(), 3);
}

#[tokio::test]
async fn it_is_told_from_waiting_to_its_end_and_dropping_it_cancels_it() {
    let (open, gate) = mpsc::channel();
    let world = World::new(Some(gate)).await;
    let mut events = listen(&world).await;
    let stream = world.chat("one").await;
    let waiting = next(&mut events).await;
    assert_eq!(
        (&waiting["state"], &waiting["total_ms"], &waiting["client"]),
        (&json!("waiting"), &Value::Null, &Value::Null)
    );
    world.server.until_open(1).await;
    drop(stream);
    let cancelled = next(&mut events).await;
    assert_eq!((&cancelled["id"], &cancelled["state"]), (&waiting["id"], &json!("cancelled")));
    assert!(cancelled["total_ms"].as_f64() > Some(0.0) && cancelled["prompt_tokens"].as_u64() > Some(0), "{cancelled}");
    drop(open);
    assert_eq!(requests(&world).await, [cancelled]);
    let _stream = world.chat("one").await;
    let mut states = Vec::new();
    while states.last() != Some(&json!("done")) {
        states.push(next(&mut events).await["state"].take());
    }
    states.dedup();
    assert_eq!(states, ["waiting", "answering", "done"]);
}

/// Requests without a pause do not keep the page from seeing how far a load is.
#[tokio::test]
async fn a_load_is_told_of_whatever_else_goes_on() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let loading = move || {
        let _ = gate.lock().unwrap().recv();
        Ok(FakeRunner::saying("hi"))
    };
    let world = World::running(Setup::loading(loading), Some("key")).await;
    let mut events = listen(&world).await;
    let _loading = world.chat("one").await;
    let told = async {
        let mut frames = 0;
        while frames < 4 {
            frames += usize::from(events.next_line().await.unwrap().unwrap().contains(r#""state":"loading""#));
        }
    };
    let traffic = async {
        loop {
            world.server.send("POST", "/v1/chat/completions", &AGENT, "{").await;
        }
    };
    tokio::select! {
        told = timeout(Duration::from_secs(20), told) => told.expect("four in time"),
        () = traffic => {}
    }
    drop(open);
}

#[tokio::test]
async fn the_last_two_hundred_are_kept() {
    let world = World::new(None).await;
    for number in 0..203 {
        world.server.send("POST", "/v1/chat/completions", &AGENT, &body(&format!("none-{number}"), json!({}))).await;
    }
    let told = requests(&world).await;
    let models = [&told[0], &told[199]].map(|request| request["model"].as_str().unwrap());
    assert_eq!((told.len(), models), (200, ["none-202", "none-3"]));
}
