//! `/admin/v1/key`: the API key that is made here. It is shown once; what is stored of it is its SHA-256, which is enough to
//! know it again. A key from which nobody can guess another needs no slower hash.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{Json, http::StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::{Admin, running};
use crate::{
    error::ApiError,
    secret::{no_secret, secret},
};

/// The setting that holds the hash, in hexadecimal digits.
pub(super) const STORED: &str = "api_key_sha256";

/// `create`.
#[derive(Serialize)]
pub(crate) struct Key {
    key: String,
}

/// A key that every client needs from now on; one that was made before opens nothing any more.
pub(crate) async fn create(admin: Admin) -> Result<Json<Key>, ApiError> {
    let key = format!("hearth-{}", secret().map_err(no_secret)?);
    let hash = hash(key.as_bytes());
    let _alone = admin.inner.opening.lock().await;
    admin.library().store().set_setting(STORED, &hash).await?;
    admin.running().key_hash = Some(hash);
    Ok(Json(Key { key }))
}

/// Takes it back. Not where that would leave the server open to other machines.
pub(crate) async fn remove(admin: Admin) -> Result<Json<Value>, ApiError> {
    let _alone = admin.inner.opening.lock().await;
    let store = admin.library().store();
    let will_be_open = running::stored(store).await?.settings.get(running::NETWORK) == Some(&true.into());
    let (is_open, has_other) = {
        let running = admin.running();
        (running.in_force.get(running::NETWORK) == Some(&true.into()), running.has_key)
    };
    if (is_open || will_be_open) && !has_other {
        let message =
            "Other machines can use this server: turn `network` off and start it again, then take the key back.";
        return Err(ApiError::new(StatusCode::CONFLICT, message).code("key_needed"));
    }
    store.remove_setting(STORED).await?;
    admin.running().key_hash = None;
    Ok(Json(json!({ "set": has_other })))
}

impl Admin {
    /// Whether clients need the key that was made here.
    pub(crate) fn needs_key(&self) -> bool {
        self.running().key_hash.is_some()
    }

    /// Whether it is this one.
    pub(crate) fn is_key(&self, given: &[u8]) -> bool {
        let known = self.running().key_hash.clone();
        // Constant time, as everywhere; of a hash it would tell little.
        known.is_some_and(|known| hash(given).as_bytes().ct_eq(known.as_bytes()).into())
    }
}

fn hash(key: &[u8]) -> String {
    digest(&SHA256, key).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
