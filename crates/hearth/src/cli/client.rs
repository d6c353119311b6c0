//! A client of the management API (`/admin/v1`). The server that runs is found by the file that it writes at its start; where
//! none runs, most commands start one of their own that lives as long as they do (`local`).

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, test_kill_process};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;
use ureq::Agent;
use ureq::http::{Method, Request};

use super::local::{self, Local};
use crate::paths::{self, process_env};

/// In the data folder: who serves, where, and the token for it.
const FILE: &str = "server.json";

/// A server on this machine that has not answered by then hangs.
const GREETING: Duration = Duration::from_secs(2);

/// The longest that any request takes: a model that is unloaded first writes its caches, a search asks the Hub again and again.
const PATIENCE: Duration = Duration::from_secs(300);

/// One server, and the right to command it.
pub(super) struct Client {
    url: String,
    token: String,
    agent: Agent,
    /// A server that ends with the command.
    _local: Option<Runtime>,
}

/// What a server writes down of itself.
#[derive(Deserialize)]
struct Written {
    pid: i32,
    url: String,
    token: String,
}

impl Written {
    fn is_alive(&self) -> bool {
        Pid::from_raw(self.pid).is_some_and(|pid| test_kill_process(pid).is_ok())
    }
}

/// A server that is there and does not answer.
#[derive(Debug)]
struct Hangs {
    pid: i32,
}

impl fmt::Display for Hangs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid } = self;
        write!(f, "the server that runs (process {pid}) does not answer: wait a moment, or end it with `kill {pid}`")
    }
}

impl std::error::Error for Hangs {}

impl Client {
    /// The server that uses the data folder, if one runs. A file that a dead one has left is nobody's. An error ([`Hangs`])
    /// where one is there that does not answer: nothing may be changed behind its back.
    fn running(data: &Path) -> Result<Option<Self>> {
        let file = data.join(FILE);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let written = serde_json::from_slice(&text).ok().filter(Written::is_alive);
        let Some(Written { pid, url, token }) = written else { return Ok(None) };
        let client = Self::new(url, token, None);
        let answers = client.answers().map_err(|_| Hangs { pid })?;
        Ok(answers.then_some(client))
    }

    fn new(url: String, token: String, local: Option<Runtime>) -> Self {
        let agent = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).proxy(None);
        Self { url, token, agent: agent.build().into(), _local: local }
    }

    /// Whether it is a server of ours. An error: it took the connection, and says nothing.
    fn answers(&self) -> Result<bool, ureq::Error> {
        let greeting = self.agent.get(format!("{}/healthz", self.url));
        match greeting.config().timeout_global(Some(GREETING)).build().call() {
            Err(silence @ ureq::Error::Timeout(_)) => Err(silence),
            answer => Ok(answer.is_ok_and(|answer| answer.status().is_success())),
        }
    }

    /// What is at `path`, below `/admin/v1`.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, None)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask(Method::POST, path, Some(body))
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask(Method::PATCH, path, Some(body))
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value> {
        self.ask(Method::DELETE, path, None)
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let request = Request::builder().method(method).uri(format!("{}/admin/v1{path}", self.url));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let answer = match body {
            None => self.agent.run(request.body(())?),
            Some(body) => self.agent.run(request.header("content-type", "application/json").body(body.to_string())?),
        };
        let mut answer = answer.with_context(|| format!("the server at {} does not answer", self.url))?;
        let text = answer.body_mut().read_to_string();
        let text = text.with_context(|| format!("the answer of the server at {} breaks off", self.url))?;
        let json = serde_json::from_str(&text);
        if answer.status().is_success() {
            return json.with_context(|| format!("the server at {} does not answer in JSON", self.url));
        }
        // Not every refusal is the API's own: a server of another version may not know the path.
        let message = json.ok().and_then(|json: Value| Some(json["error"]["message"].as_str()?.to_owned()));
        Err(message
            .map_or_else(|| anyhow!("the server at {} answers {}", self.url, answer.status()), |text| anyhow!(text)))
    }
}

/// The server that runs, or one that lives as long as the client.
pub(super) fn connect() -> Result<Client> {
    Client::running(&paths::data_dir(process_env)?)?.map_or_else(local, Ok)
}

/// The same for a command that changes nothing, and so can do without a server that does not answer.
pub(super) fn connect_to_read() -> Result<Client> {
    connect().or_else(|error| if error.is::<Hangs>() { local() } else { Err(error) })
}

fn local() -> Result<Client> {
    let Local { url, token, runtime } = local::start()?;
    Ok(Client::new(url, token, Some(runtime)))
}

/// The server that runs, where a command makes no sense without one.
pub(super) fn server() -> Result<Client> {
    let server = Client::running(&paths::data_dir(process_env)?)?;
    server.context("no server is running: start one with `hearth serve`")
}

/// The path of the model that a name means.
pub(super) fn model(name: &str) -> String {
    format!("/models/{}", segment(name))
}

/// Any text as one segment of a path, or one value of a query.
pub(super) fn segment(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(byte).collect()
}

/// An answer as what it should be.
pub(super) fn read<T: DeserializeOwned>(answer: &Value) -> Result<T> {
    T::deserialize(answer).context("the server's answer is not what this version of hearth expects")
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::Request as Asked;
    use axum::http::{HeaderMap, StatusCode};
    use serde_json::json;
    use tokio::runtime::Runtime;

    use super::*;

    const TOKEN: &str = "secret";

    /// A server that expects requests in an order, each with its answer.
    pub(in crate::cli) struct Fake {
        home: tempfile::TempDir,
        bodies: Arc<Mutex<Vec<Value>>>,
        left: Arc<Mutex<Vec<(String, u16, String)>>>,
        _runtime: Runtime,
    }

    impl Fake {
        /// `(METHOD PATH, status, answer)` of each request to come; greetings are answered besides.
        pub(in crate::cli) fn new(answers: &[(&str, u16, &str)]) -> Self {
            let answers = answers.iter().rev().map(|(line, status, text)| ((*line).into(), *status, (*text).into()));
            let (left, bodies) = (Arc::new(Mutex::new(answers.collect())), Arc::<Mutex<Vec<Value>>>::default());
            let (runtime, home) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
            let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let file = json!({"pid": std::process::id(), "url": url, "token": TOKEN, "version": "0"});
            fs::write(home.path().join(FILE), file.to_string()).unwrap();
            let (state, heard) = (left.clone(), bodies.clone());
            let router = Router::new().fallback(async move |asked: Asked| answer(asked, &state, &heard).await);
            runtime.spawn(async { axum::serve(listener, router).await });
            Self { home, bodies, left, _runtime: runtime }
        }

        pub(in crate::cli) fn client(&self) -> Client {
            Client::running(self.home.path()).unwrap().expect("it runs")
        }

        /// What was sent to it so far.
        pub(in crate::cli) fn bodies(&self) -> Vec<Value> {
            self.bodies.lock().unwrap().clone()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                assert!(self.left.lock().unwrap().is_empty(), "requests that never came");
            }
        }
    }

    async fn answer(
        asked: Asked,
        left: &Mutex<Vec<(String, u16, String)>>,
        heard: &Mutex<Vec<Value>>,
    ) -> (StatusCode, String) {
        let line = format!("{} {}", asked.method(), asked.uri());
        if line == "GET /healthz" {
            return (StatusCode::OK, json!({"status": "ok"}).to_string());
        }
        let bearer = |headers: &HeaderMap| headers.get("authorization").map(|value| value.as_bytes().to_vec());
        if bearer(asked.headers()) != Some(format!("Bearer {TOKEN}").into_bytes()) {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        let body = axum::body::to_bytes(asked.into_body(), 1 << 20).await.unwrap();
        heard.lock().unwrap().push(serde_json::from_slice(&body).unwrap_or_default());
        match left.lock().unwrap().pop() {
            Some((expected, status, text)) if expected == line => (StatusCode::from_u16(status).unwrap(), text),
            other => {
                (StatusCode::IM_A_TEAPOT, json!({"error": {"message": format!("{line} for {other:?}")}}).to_string())
            }
        }
    }

    #[test]
    fn a_refusal_is_its_own_sentence() {
        let fake = Fake::new(&[
            ("GET /admin/v1/models/a%2Fb%20c", 404, r#"{"error": {"message": "there is no model `a/b c`"}}"#),
            ("DELETE /admin/v1/models/x", 502, "<html>"),
            ("PATCH /admin/v1/models/x", 200, "<html>"),
            ("POST /admin/v1/unload", 200, r#"{"success": true}"#),
        ]);
        let client = fake.client();
        let said = |result: Result<Value>| result.unwrap_err().to_string();
        assert_eq!(said(client.get(&model("a/b c"))), "there is no model `a/b c`");
        assert!(said(client.delete(&model("x"))).ends_with("answers 502 Bad Gateway"));
        assert!(said(client.patch(&model("x"), &json!({}))).ends_with("does not answer in JSON"));
        assert_eq!(client.post("/unload", &json!({})).unwrap()["success"], true);
    }

    /// A listener that takes connections and says nothing.
    #[test]
    fn a_server_that_hangs_is_an_error_of_its_own() {
        let (home, listener) = (tempfile::tempdir().unwrap(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let (pid, url) = (std::process::id(), format!("http://{}", listener.local_addr().unwrap()));
        let file = json!({"pid": pid, "url": url, "token": TOKEN});
        fs::write(home.path().join(FILE), file.to_string()).unwrap();
        let error = Client::running(home.path()).err().expect("it does not answer");
        assert!(error.is::<Hangs>() && error.to_string().contains(&format!("`kill {pid}`")), "{error}");
    }

    /// The pid of a process that ended, the address of a server that ended, and no JSON at all.
    #[test]
    fn a_file_that_is_left_over_is_nobodys() {
        let fake = Fake::new(&[]);
        let file = fake.home.path().join(FILE);
        let mut json: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let mut finds = |key: &str, value: Value| {
            let before = std::mem::replace(&mut json[key], value);
            fs::write(&file, json.to_string()).unwrap();
            json[key] = before;
            Client::running(fake.home.path()).unwrap().is_some()
        };
        assert!(finds("version", "1".into()));
        assert!(!finds("pid", child.id().into()));
        assert!(!finds("pid", 0.into()));
        assert!(!finds("url", "http://127.0.0.1:1".into()));
        fs::write(&file, "{").unwrap();
        assert!(Client::running(fake.home.path()).unwrap().is_none());
        fs::remove_file(&file).unwrap();
        assert!(Client::running(fake.home.path()).unwrap().is_none());
    }
}
