//! Secrets that nobody can guess.

use std::{
    fs::File,
    io::{self, Read},
};

/// 64 hexadecimal digits.
///
/// # Errors
/// When the system gives no random numbers.
pub fn secret() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
