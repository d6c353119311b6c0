//! The last lines of the server's log, kept in memory for whoever asks. Logs never hold what was said.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Lines that are kept, and bytes of each.
const LINES: usize = 1000;
const LONGEST: usize = 4096;

/// A writer that keeps the last lines. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LogTail(Arc<Mutex<VecDeque<String>>>);

impl LogTail {
    /// At most so many lines, the newest last.
    pub fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lock();
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes whole lines, as a logger writes them.
impl io::Write for LogTail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.lock();
        for line in String::from_utf8_lossy(bytes).lines() {
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(line[..line.floor_char_boundary(LONGEST)].to_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let mut tail = LogTail::default();
        for number in 0..LINES + 5 {
            tail.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert_eq!(tail.last(2), ["line 1003", "line 1004"]);
        assert_eq!(tail.last(usize::MAX).len(), LINES);
        tail.write_all("ü".repeat(LONGEST).as_bytes()).unwrap();
        assert_eq!(tail.last(1)[0].len(), LONGEST);
    }
}
