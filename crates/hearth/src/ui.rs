//! Hearth's page, which is part of the program. `npm start` builds it before the program; a program that was built without it
//! says so where the page would be. A debug build reads it from its folder while it runs, as it is built then.

use std::borrow::Cow;

#[cfg(not(debug_assertions))]
#[derive(rust_embed::RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Dist;

/// One of its files; `path` does not lead out of their folder.
#[cfg(not(debug_assertions))]
pub(crate) fn file(path: &str) -> Option<Cow<'static, [u8]>> {
    Dist::get(path).map(|file| file.data)
}

/// One of its files; `path` does not lead out of their folder.
#[cfg(debug_assertions)]
pub(crate) fn file(path: &str) -> Option<Cow<'static, [u8]>> {
    let dist = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui/dist");
    std::fs::read(dist.join(path)).ok().map(Cow::from)
}
