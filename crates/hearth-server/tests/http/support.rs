//! A server to talk to, and a client that sends what real ones would not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hearth_core::Result;
use hearth_engine::{Engine, EngineOptions, ModelSpec, Placement, fake, fake::FakeRunner};
use hearth_server::{ServeOptions, ServerOptions, router, serve};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// Nothing here takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to serve, and how.
pub(crate) struct Setup {
    pub(crate) runner: Arc<dyn Fn() -> Result<FakeRunner> + Send + Sync>,
    pub(crate) engine: EngineOptions,
    pub(crate) server: ServerOptions,
    pub(crate) serve: ServeOptions,
}

impl Setup {
    /// A model that `runner` plays.
    pub(crate) fn new(runner: impl Fn() -> FakeRunner + Send + Sync + 'static) -> Self {
        Self::loading(move || Ok(runner()))
    }

    /// A model that may fail to load.
    pub(crate) fn loading(runner: impl Fn() -> Result<FakeRunner> + Send + Sync + 'static) -> Self {
        let (engine, server, serve) = Default::default();
        Self { runner: Arc::new(runner), engine, server, serve }
    }

    /// Serves it on a free port of loopback. The model is `test-model`, made from `org/Test Model`.
    pub(crate) async fn start(self) -> Server {
        let dir = TempDir::new().expect("a temporary folder");
        fake::write_model(dir.path()).expect("a model folder");
        let open = Arc::new(AtomicUsize::new(0));
        let (runner, count) = (self.runner, Arc::clone(&open));
        let placement = Placement::Thread(Arc::new(move |_, _| Ok(Box::new(runner()?.counting(Arc::clone(&count))))));
        let spec = |id: &str, source: &str| ModelSpec {
            id: id.into(),
            source: source.into(),
            dir: dir.path().into(),
            ..ModelSpec::default()
        };
        let models = vec![spec("test-model", "org/Test-Model"), spec("other-model", "org/Other-Model")];
        let engine = Engine::new(models, placement, self.engine);

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = router(engine.clone(), self.server);
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, routes, &self.serve, stopped).await.expect("the accept loop");
        });
        Server { port, engine, open, stop: Some(stop), task, _dir: dir }
    }
}

/// A server that answers every request with `text`.
pub(crate) async fn saying(text: &'static str) -> Server {
    Setup::new(move || FakeRunner::saying(text)).start().await
}

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) engine: Engine,
    open: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _dir: TempDir,
}

impl Server {
    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// A chat request.
    pub(crate) async fn chat(&self, body: &str) -> Answer {
        self.send("POST", "/v1/chat/completions", &[("Content-Type", "application/json")], body).await
    }

    /// A request as ordinary clients make them.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let host = format!("127.0.0.1:{}", self.port);
        let headers: Vec<_> = [("Host", host.as_str())].into_iter().chain(headers.iter().copied()).collect();
        self.raw(&request(method, path, &headers, body)).await
    }

    /// Whatever the test makes up; reads until the server closes.
    pub(crate) async fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        Answer::read(&mut stream).await
    }

    /// A chat request whose answer is yet to be read.
    pub(crate) async fn ask(&self, body: &str) -> TcpStream {
        let mut stream = self.connect().await;
        let host = format!("127.0.0.1:{}", self.port);
        let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
        let request = request("POST", "/v1/chat/completions", &headers, body);
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        stream
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.expect("the server accepts")
    }

    /// Sequences on the device.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Waits until so many sequences are on the device.
    pub(crate) async fn until_open(&self, count: usize) {
        until(|| self.open() == count, "the number of open sequences").await;
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the server's end.
    pub(crate) async fn ended(self) {
        timeout(PATIENCE, self.task).await.expect("the server ends").expect("and not by a panic");
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(condition: impl Fn() -> bool, what: &str) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited for {what} in vain"));
}

/// A request's text; the connection is for it alone.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\n{headers}{length}Connection: close\r\n\r\n{body}")
}

/// What the server sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Reads an answer to the connection's end.
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
        read.expect("an answer, and no reset");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = Self { status, head: head.to_owned(), body: body.to_owned() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = dechunked(body);
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The sentence of an error in OpenAI's shape, which is checked.
    pub(crate) fn error(&self) -> String {
        let body = self.json();
        let error = body["error"].as_object().unwrap_or_else(|| panic!("not an error: {self:?}"));
        let keys: Vec<_> = error.keys().map(String::as_str).collect();
        assert_eq!(keys, ["message", "type", "param", "code"]);
        error["message"].as_str().expect("a sentence").to_owned()
    }

    /// The data of the events of a stream.
    pub(crate) fn events(&self) -> Vec<&str> {
        assert_eq!(self.header("content-type"), Some("text/event-stream"), "{self:?}");
        self.body.split_terminator("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
    }

    /// The chunks of a stream that ended well.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let mut events = self.events();
        assert_eq!(events.pop(), Some("[DONE]"), "{self:?}");
        events.into_iter().map(|event| serde_json::from_str(event).expect("JSON")).collect()
    }
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a chunk's length");
        whole.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
    whole
}
