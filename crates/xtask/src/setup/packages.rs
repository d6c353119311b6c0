//! Debian packages: installed where we may, named where we may not.

use std::process::Command;

use anyhow::{Result, bail};

use crate::cmd;

/// Makes sure that the packages are installed. On a system without dpkg it trusts that their like is there.
pub(crate) fn require(packages: &[&str]) -> Result<()> {
    if !cmd::succeeds(Command::new("dpkg-query").arg("--version")) {
        return Ok(());
    }
    let missing = missing(packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root()? {
        let names = missing.join(" ");
        bail!("these Debian packages are missing: {names}; run `sudo apt-get install {names}`, then try again");
    }
    println!("installing Debian packages: {}", missing.join(" "));
    cmd::run(apt().args(["-qq", "update"]))?;
    cmd::run(apt().args(["-qq", "--yes", "--no-install-recommends", "install"]).args(&missing))
}

fn missing<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    // Exits with 1 when a package is unknown, so only what it prints counts.
    let query =
        Command::new("dpkg-query").args(["-W", "-f", "${Package} ${db:Status-Status}\n"]).args(packages).output()?;
    Ok(not_installed(packages, &String::from_utf8_lossy(&query.stdout)))
}

/// `listed` has a line `name status` for each package that dpkg has heard of.
fn not_installed<'a>(packages: &[&'a str], listed: &str) -> Vec<&'a str> {
    let installed: Vec<&str> = listed.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    packages.iter().copied().filter(|name| !installed.contains(name)).collect()
}

fn is_root() -> Result<bool> {
    Ok(cmd::output(Command::new("id").arg("-u"))?.trim() == "0")
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "Dpkg::Use-Pty=0"]);
    apt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_are_unknown_or_removed_are_missing() {
        let listed = "clang installed\ng++ config-files\n";
        assert_eq!(not_installed(&["clang", "g++", "libfmt-dev"], listed), ["g++", "libfmt-dev"]);
    }
}
