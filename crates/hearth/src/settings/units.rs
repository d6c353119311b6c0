//! Sizes and times as people write them: `4G`, `512 MB`, `90s`, `7d`.
//!
//! A kilobyte is 1024 bytes here, as everywhere where memory is meant.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hearth_core::model::KeepAlive;
use serde::Deserialize;

/// A number of bytes. In a configuration file it may be a plain number too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Size(pub u64);

/// A stretch of time, longer than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

/// How long something stays that nobody uses: a [`Span`], `0` or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Idle(pub KeepAlive);

/// Bits of a cached number: 8 or 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct KvBits(u8);

/// A size or a time as a file of TOML may hold it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl KvBits {
    /// The number itself.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<Written> for Size {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size: write it as 4G, 512M or 0");
        let (number, unit) = split(text);
        let unit = unit.to_ascii_lowercase();
        let factor = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
            "" => 1_u64,
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            "t" => 1 << 40,
            _ => return Err(wrong()),
        };
        let bytes = decimal(number).ok_or_else(wrong)? * factor as f64;
        if bytes < u64::MAX as f64 { Ok(Self(bytes as u64)) } else { Err(wrong()) }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time: write it as 30s, 15m, 24h or 7d");
        let (number, unit) = split(text);
        let factor = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let time = Duration::try_from_secs_f64(decimal(number).ok_or_else(wrong)? * factor).map_err(|_| wrong())?;
        if time.is_zero() { Err(wrong()) } else { Ok(Self(time)) }
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Idle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self(KeepAlive::Forever)),
            "0" => Ok(Self(KeepAlive::For(Duration::ZERO))),
            _ => match text.parse::<Span>() {
                Ok(span) => Ok(Self(KeepAlive::For(span.0))),
                Err(wrong) => Err(format!("{wrong}, or say 0 or never")),
            },
        }
    }
}

impl TryFrom<Written> for Idle {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(number) => number.to_string().parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl TryFrom<u8> for KvBits {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        if [4, 8].contains(&bits) { Ok(Self(bits)) } else { Err(format!("`{bits}` is not 8 or 4")) }
    }
}

impl FromStr for KvBits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<u8>().map_err(|_| format!("`{text}` is not 8 or 4"))?.try_into()
    }
}

/// In the largest unit that leaves a number of at least 1.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")];
        match units.into_iter().find(|(shift, _)| self.0 >> shift > 0) {
            None => write!(f, "{} bytes", self.0),
            Some((shift, unit)) => write!(f, "{:.1} {unit}", self.0 as f64 / (1_u64 << shift) as f64),
        }
    }
}

/// The number and what follows it.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// Digits with or without a fraction; nothing else that Rust takes for a number.
fn decimal(text: &str) -> Option<f64> {
    text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("1B", 1),
            ("4k", 4096),
            ("512M", 512 << 20),
            ("512 MB", 512 << 20),
            ("2GiB", 2 << 30),
            ("1.5g", 3 << 29),
            ("1T", 1 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "G", "-1", "+1", "1e9", "nan", "inf", ".5G", "1.2.3", "4X", "4 G B", "99999999T", "0x10"] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains(&format!("`{text}` is not a size")), "{error}");
        }
    }

    #[test]
    fn times_need_a_unit_and_some_length() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("1.5h", 5400)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "30", "0s", "-1s", "1w", "1M", "h", "99999999999999999999d"] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains("is not a time: write it as 30s, 15m, 24h or 7d"), "{error}");
        }
    }

    #[test]
    fn an_idle_time_may_be_none_or_without_end() {
        for (text, expected) in [
            ("0", KeepAlive::For(Duration::ZERO)),
            ("90s", KeepAlive::For(Duration::from_secs(90))),
            ("never", KeepAlive::Forever),
        ] {
            assert_eq!(text.parse(), Ok(Idle(expected)), "{text}");
        }
        let error = "always".parse::<Idle>().unwrap_err();
        assert_eq!(error, "`always` is not a time: write it as 30s, 15m, 24h or 7d, or say 0 or never");
    }

    #[test]
    fn a_cached_number_has_8_bits_or_4() {
        assert_eq!(["8", "4"].map(|text| text.parse().map(KvBits::get)), [Ok(8), Ok(4)]);
        for text in ["", "16", "2", "8bit", "-8"] {
            assert!(text.parse::<KvBits>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_a_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KB"),
            (3 << 29, "1.5 GB"),
            (512 << 20, "512.0 MB"),
            (5 << 40, "5.0 TB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
