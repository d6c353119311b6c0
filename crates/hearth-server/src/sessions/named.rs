//! Which session a request names: `session_id`, else the header, else what other servers' clients call their conversations.

use axum::http::HeaderValue;
use hearth_core::{Error, Result, chat::SessionRef};
use hearth_engine::check_session_id;

use crate::fields::Fields;

/// Names the session where the body does not.
pub(crate) const HEADER: &str = "x-session-id";

/// The session that a request with these fields and this [`HEADER`] belongs to.
pub(crate) fn named(fields: &Fields<'_>, header: Option<&HeaderValue>) -> Result<Option<SessionRef>> {
    let borrowed = borrowed(fields)?;
    let id = match fields.string("session_id")? {
        Some(id) => Some(id_of(id, "session_id")?),
        None => header.map(of_header).transpose()?,
    };
    let own = id.map(|id| SessionRef { id, explicit: true });
    Ok(own.or(borrowed.map(|id| SessionRef { id, explicit: false })))
}

/// `id`, which stands at `param`, if it may name a session.
pub(super) fn id_of(id: String, param: &str) -> Result<String> {
    check_session_id(&id, param).map(|()| id)
}

fn of_header(value: &HeaderValue) -> Result<String> {
    let text = std::str::from_utf8(value.as_bytes());
    let text = text.map_err(|_| Error::invalid("X-Session-Id", "The header X-Session-Id is not UTF-8."))?;
    id_of(text.to_owned(), "X-Session-Id")
}

/// The ids of OpenAI's and Anthropic's clients, which say where they stand: another client's `session_id` may well be the
/// same. These never meant to name a session of ours: one that cannot is no mistake.
fn borrowed(fields: &Fields<'_>) -> Result<Option<String>> {
    let key = fields.string("prompt_cache_key")?;
    let metadata = fields.object("metadata")?;
    let user = metadata.and_then(|metadata| metadata.string("user_id").ok().flatten());
    let named = [("prompt_cache_key", key), ("user_id", user)].into_iter().filter_map(|(name, id)| Some((name, id?)));
    let mut ids = named.filter(|(_, id)| !id.is_empty()).map(|(name, id)| id_of(format!("{name}:{id}"), ""));
    Ok(ids.find_map(Result::ok))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, header: Option<&[u8]>) -> Result<Option<(String, bool)>> {
        let header = header.map(|value| HeaderValue::from_bytes(value).expect("a header"));
        let named = named(&Fields::of_body(body.as_bytes())?, header.as_ref())?;
        Ok(named.map(|session| (session.id, session.explicit)))
    }

    #[test]
    fn the_first_name_counts() {
        for (body, header, expected) in [
            ("{}", None, None),
            (r#"{"session_id":null,"prompt_cache_key":null,"metadata":null}"#, None, None),
            (r#"{"metadata":{"user_id":null,"other":[1]}}"#, None, None),
            (r#"{"metadata":{"user_id":42}}"#, None, None),
            (r#"{"metadata":{"user_id":["x"]}}"#, None, None),
            (r#"{"session_id":"a"}"#, Some("b"), Some(("a", true))),
            (r#"{"session_id":null,"prompt_cache_key":"c"}"#, Some("b"), Some(("b", true))),
            (r#"{"prompt_cache_key":"c","metadata":{"user_id":"d"}}"#, None, Some(("prompt_cache_key:c", false))),
            (r#"{"metadata":{"user_id":"d","n":7}}"#, None, Some(("user_id:d", false))),
            (r#"{"prompt_cache_key":"","metadata":{"user_id":"d"}}"#, None, Some(("user_id:d", false))),
            (r#"{"session_id":"ä/../\u0000 🌊"}"#, None, Some(("ä/../\0 🌊", true))),
            ("{}", Some("grün"), Some(("grün", true))),
        ] {
            let named = read(body, header.map(str::as_bytes)).unwrap_or_else(|error| panic!("{body}: {error}"));
            assert_eq!(named, expected.map(|(id, explicit)| (id.to_owned(), explicit)), "{body} {header:?}");
        }
        let long = "x".repeat(256);
        assert_eq!(read(&format!(r#"{{"prompt_cache_key":"{long}"}}"#), None).expect("no mistake"), None);
        let fits = "ü".repeat(256);
        assert_eq!(read(&format!(r#"{{"session_id":"{fits}"}}"#), None).expect("fits"), Some((fits, true)));
    }

    #[test]
    fn a_wrong_name_is_refused_by_its_place() {
        let long = format!(r#"{{"session_id":"{}"}}"#, "x".repeat(257));
        for (body, header, param, says) in [
            (r#"{"session_id":7}"#, None, "session_id", "must be a string, not 7"),
            (r#"{"session_id":""}"#, None, "session_id", "1 to 256 characters, not 0"),
            (long.as_str(), None, "session_id", "not 257"),
            ("{}", Some(&b""[..]), "X-Session-Id", "1 to 256 characters, not 0"),
            ("{}", Some(&b"\xff"[..]), "X-Session-Id", "is not UTF-8"),
            (r#"{"session_id":"a","prompt_cache_key":{}}"#, None, "prompt_cache_key", "must be a string"),
            (r#"{"metadata":"x"}"#, None, "metadata", "must be an object"),
        ] {
            let error = read(body, header).expect_err(body);
            assert_eq!(error.param.as_deref(), Some(param), "{body}: {error}");
            assert!(error.message.contains(says), "{body}: {error}");
        }
    }
}
