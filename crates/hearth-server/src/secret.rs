//! Secrets that nobody can guess.

use std::{
    fs::File,
    io::{self, Read},
};

use hearth_core::Error;

/// 64 hexadecimal digits.
///
/// # Errors
/// When the system gives no random numbers.
pub fn secret() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What whoever asked for one is told.
pub(crate) fn no_secret(error: io::Error) -> Error {
    Error::internal(format!("The system gives no random numbers: {error}."))
}
