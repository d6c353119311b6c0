//! What MLX's allocator holds, and how much a process may hold on this machine, in bytes.

#[cfg(any(target_os = "linux", test))]
use std::{fs, path::Path};

use hearth_core::Result;

use crate::ops;

/// The share of a machine's memory that a process may hold where no GPU says better.
const SHARE: (u64, u64) = (3, 4);

/// The allocator's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Arrays in use.
    pub active: usize,
    /// The most that was ever in use.
    pub peak: usize,
    /// Freed buffers that are kept for the next arrays.
    pub cache: usize,
}

/// The figures of the whole process.
pub fn memory() -> Result<Memory> {
    Ok(Memory { active: ops::active_memory()?, peak: ops::peak_memory()?, cache: ops::cache_memory()? })
}

/// Forgets the peak: it counts from here.
pub fn reset_peak() -> Result<()> {
    ops::reset_peak_memory()
}

/// Bytes that this process may hold: what the system recommends for its GPU, else three quarters of the memory that there
/// is, or that the process's control group has; 0 where nobody says.
pub fn limit() -> u64 {
    let (part, whole) = SHARE;
    match ops::recommended_memory() {
        Some(bytes) => bytes as u64,
        None => physical().map_or(0, |bytes| bytes / whole * part),
    }
}

/// The smaller of the machine's memory and the control group's.
#[cfg(target_os = "linux")]
fn physical() -> Option<u64> {
    let total = total_memory(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = group_limit(Path::new("/sys/fs/cgroup"), &groups);
    Some(limit.map_or(total, |limit| limit.min(total)))
}

/// MLX's own limit, where there is no GPU, is four fifths of the machine's memory.
#[cfg(not(target_os = "linux"))]
fn physical() -> Option<u64> {
    ops::memory_limit().ok().map(|bytes| bytes as u64 / 4 * 5)
}

/// `MemTotal` of /proc/meminfo.
#[cfg(any(target_os = "linux", test))]
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The lowest limit of a process's control group and those above it, version 2 or 1, below `root`. `groups` is
/// /proc/self/cgroup. In a container the group's own path may not be there; its root is then what limits it.
#[cfg(any(target_os = "linux", test))]
fn group_limit(root: &Path, groups: &str) -> Option<u64> {
    let limit = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let (root, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let limits = Path::new(path).ancestors().map(|group| fs::read_to_string(root.join(group).join(file)));
        limits.filter_map(|text| text.ok()?.trim().parse::<u64>().ok()).min()
    };
    groups.lines().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn the_machine_and_its_groups_say_what_there_is() {
        assert_eq!(total_memory("MemTotal:       24115360 kB\nMemFree: 1 kB\n"), Some(24_115_360 * 1024));
        assert_eq!(total_memory("MemFree: 1 kB\n"), None);
        let folder = Folder::new();
        let group = folder.path().join("a/b");
        fs::create_dir_all(&group).expect("folders");
        fs::create_dir_all(folder.path().join("memory/old")).expect("folders");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
        write("a/b/memory.max", "max\n");
        assert_eq!(group_limit(folder.path(), "0::/a/b\n"), None);
        write("a/memory.max", "5000\n");
        assert_eq!(group_limit(folder.path(), "0::/a/b\n"), Some(5000));
        write("memory.max", "3000\n");
        assert_eq!(group_limit(folder.path(), "0::/elsewhere/c\n"), Some(3000));
        write("memory/old/memory.limit_in_bytes", "2000\n");
        assert_eq!(group_limit(folder.path(), "5:cpu:/x\n4:memory,pids:/old\n0::/a\n"), Some(2000));
    }

    #[test]
    fn this_machine_has_a_limit() {
        assert!(limit() > 1 << 20, "{}", limit());
    }
}
