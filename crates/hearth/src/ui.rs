//! Hearth's page, which is part of the program. `npm start` builds it before the program; a program that was built without it
//! says so where the page would be.

use std::borrow::Cow;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Dist;

/// One of its files.
pub(crate) fn file(path: &str) -> Option<Cow<'static, [u8]>> {
    Dist::get(path).map(|file| file.data)
}
