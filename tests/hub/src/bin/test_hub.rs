//! The test hub as a program: serves every `OWNER/NAME` folder below `--root`, prints its URL, and runs until it is ended.

use std::path::PathBuf;

use clap::Parser;
use hearth_test_hub::{Repo, TestHub};

#[derive(Parser)]
struct Args {
    /// The folder that holds `OWNER/NAME/…`.
    #[arg(long)]
    root: PathBuf,
    /// The port on the loopback; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Adds an empty repository whose terms wait to be accepted.
    #[arg(long)]
    gated: Option<String>,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let mut repos = Repo::read_all(&args.root)?;
    repos.extend(args.gated.map(|id| Repo { gated: true, ..Repo::new(id, vec![]) }));
    let hub = TestHub::start_on(repos, args.port).await?;
    println!("{}", hub.url());
    std::future::pending().await
}
