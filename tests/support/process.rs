//! Other processes: whose child they are, stopping them, seeing them end.

#[cfg(not(target_os = "linux"))]
use std::process::Command;

use rustix::process::{Pid, kill_process, kill_process_group};

pub use rustix::process::Signal;

/// Sends a signal.
pub fn signal(pid: u32, signal: Signal) {
    kill_process(id(pid), signal).unwrap_or_else(|error| panic!("{signal:?} to process {pid}: {error}"));
}

/// Sends a signal to a process and all of its group, as a terminal does.
pub fn signal_group(leader: u32, signal: Signal) {
    kill_process_group(id(leader), signal).unwrap_or_else(|error| panic!("{signal:?} to group {leader}: {error}"));
}

fn id(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id")
}

/// The one child of a process, once it has one.
pub fn child(parent: u32) -> u32 {
    loop {
        if let [child] = children(parent)[..] {
            return child;
        }
        std::thread::yield_now();
    }
}

/// Returns when the process is gone.
pub fn wait_for_end(pid: u32) {
    while is_alive(pid) {
        std::thread::yield_now();
    }
}

/// Whether a process exists; one that ended but was not yet collected by its parent counts as gone.
pub fn is_alive(pid: u32) -> bool {
    let state = state(pid);
    !state.is_empty() && !state.starts_with('Z')
}

#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<u32> {
    // A child belongs to the thread that started it.
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let pids: Vec<u32> =
        lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    pids.into_iter().filter(|&pid| is_alive(pid)).collect()
}

#[cfg(target_os = "linux")]
fn state(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The program's name stands in parentheses before it, and may itself hold any character.
    stat.rsplit_once(") ").map_or(String::new(), |(_, rest)| rest.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn children(parent: u32) -> Vec<u32> {
    let pids = ps(&["-A", "-o", "ppid=,pid="]);
    let pairs = pids.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let ours = pairs.filter(|(owner, _)| owner.parse() == Ok(parent));
    ours.filter_map(|(_, pid)| pid.trim().parse().ok()).filter(|&pid| is_alive(pid)).collect()
}

#[cfg(not(target_os = "linux"))]
fn state(pid: u32) -> String {
    ps(&["-o", "stat=", "-p", &pid.to_string()]).trim().to_owned()
}

#[cfg(not(target_os = "linux"))]
fn ps(arguments: &[&str]) -> String {
    let output = Command::new("ps").args(arguments).output().expect("ps");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
