//! Downloads a model into the Hugging Face cache, as the environment says where from and where to. Tests kill it.

use std::process::ExitCode;

use hearth_hub::download::{Download, DownloadOptions, State};
use hearth_hub::error::HubError;
use hearth_hub::files::Revision;
use hearth_hub::registry::{Hub, HubOptions};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(repo) = std::env::args().nth(1) else {
        eprintln!("say which model: pull OWNER/NAME");
        return ExitCode::from(2);
    };
    match pull(&repo).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn pull(repo: &str) -> Result<(), HubError> {
    let hub = Hub::new(HubOptions::from_env(|name| std::env::var_os(name))?)?;
    let manifest = hub.manifest(&repo.parse()?, &Revision::main()).await?;
    let download = Download::start(&hub, manifest, DownloadOptions::default());
    let last = download.finished().await;
    let reason = last.reason.unwrap_or_default();
    println!("{:?}: {} of {} bytes {reason}", last.state, last.bytes, last.total);
    if last.state == State::Done { Ok(()) } else { Err(HubError::Answer(reason)) }
}
