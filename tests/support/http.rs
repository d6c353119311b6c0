//! A client as plain as it gets: one request, one answer, or one stream of server-sent events.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, BodyReader};

/// An answer that takes longer is a fault.
const PATIENCE: Duration = Duration::from_secs(120);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The message of an OpenAI error.
    pub fn error(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {self:?}")).to_owned()
    }

    /// The first choice's message.
    pub fn message(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["choices"][0]["message"].clone()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Asks for `url`.
pub fn get(url: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(agent().get(url), |request, (name, value)| request.header(*name, *value));
    whole(request.call().unwrap_or_else(|error| panic!("{url}: {error}")))
}

/// Deletes what is at `url`.
pub fn delete(url: &str) -> Answer {
    whole(agent().delete(url).call().unwrap_or_else(|error| panic!("{url}: {error}")))
}

/// Sends `body` to `url`.
pub fn post(url: &str, headers: &[(&str, &str)], body: impl Into<String>) -> Answer {
    let request = headers.iter().fold(agent().post(url), |request, (name, value)| request.header(*name, *value));
    whole(request.send(body.into()).unwrap_or_else(|error| panic!("{url}: {error}")))
}

/// Changes what is at `url`.
pub fn patch(url: &str, headers: &[(&str, &str)], body: impl Into<String>) -> Answer {
    let request = headers.iter().fold(agent().patch(url), |request, (name, value)| request.header(*name, *value));
    whole(request.send(body.into()).unwrap_or_else(|error| panic!("{url}: {error}")))
}

/// Sends `body` to `url` and reads the events that come back.
pub fn stream(url: &str, body: String) -> Chunks {
    let request = agent().post(url).header("content-type", "application/json");
    let response = request.send(body).unwrap_or_else(|error| panic!("{url}: {error}"));
    assert_eq!(response.status(), 200, "{}", whole(response).text);
    Chunks { lines: BufReader::new(response.into_body().into_reader()) }
}

fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).proxy(None);
    config.build().into()
}

fn whole(mut response: Response<Body>) -> Answer {
    let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().iter().map(header).collect(),
        text: response.body_mut().read_to_string().expect("a body of text"),
    }
}

/// The events of a stream, as JSON, up to its end; `[DONE]` comes as a string. Dropping it leaves the server.
pub struct Chunks {
    lines: BufReader<BodyReader<'static>>,
}

impl Iterator for Chunks {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            // A connection that breaks off ends the stream as its end does.
            if self.lines.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end().strip_prefix("data: ") {
                Some("[DONE]") => return Some("[DONE]".into()),
                Some(json) => return Some(serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"))),
                None => {}
            }
        }
    }
}

/// The text of all chunks, joined.
pub fn joined(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}
