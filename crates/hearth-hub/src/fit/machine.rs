//! The machine that a model shall fit: how many bytes a process may hold, and how fast memory is read.
//!
//! A Mac names its chip, and Apple publishes what its memory does. Nothing here opens a GPU: that is for workers.

use std::{
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

/// A machine, as far as a model that has to fit is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The chip's name, where one is known.
    pub chip: Option<String>,
    /// Bytes that a process may hold, weights included; 0: not known.
    pub limit: u64,
    /// Bytes of memory that are read in a second at most, where that is known without measuring.
    pub bandwidth: Option<f64>,
    /// Whether models run on a GPU.
    pub gpu: bool,
}

impl Machine {
    /// This machine. Where it is no Mac, `limit` tells how many bytes a process may hold.
    pub fn detect(limit: impl FnOnce() -> u64) -> Self {
        let mac = || Self::from_sysctl(&sysctl()?);
        let found = if cfg!(target_os = "macos") { mac() } else { None };
        found.unwrap_or_else(|| Self { chip: None, limit: limit(), bandwidth: None, gpu: false })
    }

    /// From lines as `hw.memsize: 17179869184`.
    pub(crate) fn from_sysctl(text: &str) -> Option<Self> {
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let number = |name| value(name)?.parse::<u64>().ok();
        let (chip, memory) = (value("machdep.cpu.brand_string")?, number("hw.memsize")?);
        let raised = number("iogpu.wired_limit_mb").filter(|&limit| limit > 0).map(|limit| limit << 20);
        Some(Self {
            bandwidth: apple_bandwidth(chip, memory),
            limit: raised.unwrap_or_else(|| working_set(memory)),
            gpu: chip.starts_with("Apple"),
            chip: Some(chip.to_owned()),
        })
    }
}

/// What the system says; a name that it does not know is left out.
fn sysctl() -> Option<String> {
    let names = ["machdep.cpu.brand_string", "hw.memsize", "iogpu.wired_limit_mb"];
    let output = Command::new("/usr/sbin/sysctl").args(names).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

/// What macOS recommends that a GPU should hold at most: two thirds of the memory, of more than 32 GiB three quarters. Newer
/// versions allow some per cent more; which, only the GPU says.
fn working_set(memory: u64) -> u64 {
    if memory > 32 << 30 { memory / 4 * 3 } else { memory / 3 * 2 }
}

/// GB per second of Apple's chips, as published. Where a chip comes with two widths of memory, the sizes that come with the
/// narrow one, and its speed.
const APPLE: &[(&str, f64, &[u64], f64)] = &[
    ("M1", 68.0, &[], 0.0),
    ("M1 Pro", 200.0, &[], 0.0),
    ("M1 Max", 400.0, &[], 0.0),
    ("M1 Ultra", 800.0, &[], 0.0),
    ("M2", 100.0, &[], 0.0),
    ("M2 Pro", 200.0, &[], 0.0),
    ("M2 Max", 400.0, &[], 0.0),
    ("M2 Ultra", 800.0, &[], 0.0),
    ("M3", 100.0, &[], 0.0),
    ("M3 Pro", 150.0, &[], 0.0),
    ("M3 Max", 400.0, &[36, 96], 300.0),
    ("M3 Ultra", 819.0, &[], 0.0),
    ("M4", 120.0, &[], 0.0),
    ("M4 Pro", 273.0, &[], 0.0),
    ("M4 Max", 546.0, &[36], 410.0),
    ("M5", 153.0, &[], 0.0),
    ("M5 Pro", 307.0, &[], 0.0),
    ("M5 Max", 614.0, &[36], 460.0),
];

/// Bytes per second of the chip that calls itself `Apple M4 Max`, with `memory` bytes.
fn apple_bandwidth(chip: &str, memory: u64) -> Option<f64> {
    let name = chip.strip_prefix("Apple ")?.trim_end_matches(" (Virtual)");
    let &(_, wide, narrow_sizes, narrow) = APPLE.iter().find(|(known, ..)| *known == name)?;
    Some(if narrow_sizes.contains(&(memory >> 30)) { narrow } else { wide } * 1e9)
}

/// Bytes that are copied at a time: more than caches hold.
const BLOCK: usize = 64 << 20;

/// Measures bytes per second, in about a tenth of one, by copying: read and written bytes both count. Blocks the thread. What
/// a single thread copies is what a processor reads for a model at most: with quantized weights it is slower, as it has to
/// compute.
pub fn measure_bandwidth() -> f64 {
    let (source, mut target) = (vec![1_u8; BLOCK], vec![0_u8; BLOCK]);
    let (begin, mut best) = (Instant::now(), Duration::MAX);
    for round in 0.. {
        let start = Instant::now();
        target.copy_from_slice(black_box(&source));
        black_box(&mut target);
        best = best.min(start.elapsed());
        if round >= 2 && begin.elapsed() > Duration::from_millis(100) {
            break;
        }
    }
    2.0 * BLOCK as f64 / best.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn sysctl(chip: &str, memory: u64, wired: &str) -> Option<Machine> {
        Machine::from_sysctl(&format!("machdep.cpu.brand_string: {chip}\nhw.memsize: {memory}\n{wired}"))
    }

    #[test]
    fn a_mac_says_what_it_is() {
        let machine = sysctl("Apple M4 Max", 64 * GIB, "iogpu.wired_limit_mb: 0\n").unwrap();
        let expected =
            Machine { chip: Some("Apple M4 Max".into()), limit: 48 * GIB, bandwidth: Some(546e9), gpu: true };
        assert_eq!(machine, expected);
        assert_eq!(sysctl("Apple M1", 24 * GIB, "").unwrap().limit, 16 * GIB);
        assert_eq!(sysctl("Apple M2", 24 * GIB, "iogpu.wired_limit_mb: 20480\n").unwrap().limit, 20 * GIB);
        assert_eq!(Machine::from_sysctl("hw.memsize: many\n"), None);
    }

    #[test]
    fn the_size_of_the_memory_tells_two_chips_of_one_name_apart() {
        let table = [
            ("Apple M3 Max", 96, Some(300e9)),
            ("Apple M3 Max", 128, Some(400e9)),
            ("Apple M4 Max", 36, Some(410e9)),
            ("Apple M1 (Virtual)", 8, Some(68e9)),
            ("Apple M99 Ultra", 512, None),
            ("Intel(R) Core(TM) i9", 64, None),
        ];
        for (chip, memory, expected) in table {
            assert_eq!(apple_bandwidth(chip, memory * GIB), expected, "{chip}, {memory} GiB");
        }
    }

    #[test]
    fn elsewhere_the_limit_is_given_and_the_bandwidth_measured() {
        if !cfg!(target_os = "macos") {
            assert_eq!(Machine::detect(|| 7), Machine { chip: None, limit: 7, bandwidth: None, gpu: false });
        }
        let measured = measure_bandwidth();
        assert!((1e8..1e13).contains(&measured), "{measured}");
    }
}
