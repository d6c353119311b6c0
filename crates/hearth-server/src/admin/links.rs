//! One-time links: how a browser comes by the token. A link holds a key behind `#`, which browsers send to nobody; the page
//! gives it back here, once, and gets the token for it.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, http::StatusCode};
use serde::Serialize;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::{Admin, models::field};
use crate::{
    body::WholeBody,
    error::ApiError,
    secret::{no_secret, secret},
};

/// How long a link opens the page.
const LIFE: Duration = Duration::from_secs(600);

/// Links that may wait at a time; the oldest gives way.
const MOST: usize = 32;

/// The keys of links that nobody has used yet, and since when.
#[derive(Default)]
pub(super) struct Keys(Mutex<VecDeque<(String, Instant)>>);

impl Keys {
    fn add(&self) -> io::Result<String> {
        let key = secret()?;
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.truncate(MOST - 1);
        keys.push_front((key.clone(), Instant::now()));
        Ok(key)
    }

    /// Whether the key is good, which it is no longer from now on.
    fn take(&self, given: &str) -> bool {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|(_, made)| made.elapsed() < LIFE);
        // Constant time, so that a wrong key does not tell how much of it is right.
        let found = keys.iter().position(|(key, _)| bool::from(key.as_bytes().ct_eq(given.as_bytes())));
        found.is_some_and(|place| keys.remove(place).is_some())
    }
}

/// `create`.
#[derive(Serialize)]
pub(crate) struct Link {
    url: String,
}

/// `sign_in`.
#[derive(Serialize)]
pub(crate) struct Session {
    token: String,
}

impl Admin {
    /// A new link to the page, which opens it once, within ten minutes.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn link(&self) -> io::Result<String> {
        Ok(format!("{}/ui/#key={}", self.options().url, self.inner.keys.add()?))
    }
}

/// A new link.
pub(crate) async fn create(admin: Admin) -> Result<Json<Link>, ApiError> {
    Ok(Json(Link { url: admin.link().map_err(no_secret)? }))
}

/// The token for a link's key.
pub(crate) async fn sign_in(admin: Admin, body: WholeBody) -> Result<Json<Session>, ApiError> {
    let key: Option<String> = field(&body.object().await?, "key", "a link's key")?;
    if admin.inner.keys.take(&key.unwrap_or_default()) {
        return Ok(Json(Session { token: admin.options().token.clone() }));
    }
    let message = "This link was used already, or is older than ten minutes: `hearth ui` gives a new one.";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_good_once_and_for_ten_minutes() {
        let keys = Keys::default();
        let (one, two) = (keys.add().unwrap(), keys.add().unwrap());
        assert!(!keys.take("") && !keys.take(&one[1..]));
        assert!(keys.take(&one) && !keys.take(&one));
        tokio::time::advance(LIFE).await;
        assert!(!keys.take(&two));
        let first = keys.add().unwrap();
        let others: Vec<_> = (0..MOST).map(|_| keys.add().unwrap()).collect();
        assert!(!keys.take(&first) && others.iter().all(|key| keys.take(key)));
    }
}
