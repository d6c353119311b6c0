//! `hearth run`: one question, one streamed answer on standard output. What the model thinks goes to standard error.

use std::io::{self, IsTerminal, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use futures_util::StreamExt;
use hearth_core::chat::{ChatRequest, Message, Role};
use hearth_core::event::{Event, FinishReason};
use hearth_core::sampling::SamplingOverrides;
use hearth_engine::{CacheOptions, ChatStream, Engine, EngineOptions};

use super::answers::{Model, RepoFit};
use super::client::{self, Client};
use super::pull::{self, Ended, View};
use super::words::{plain, size};
use super::{EXIT_INTERRUPTED, confirmed, fail};
use crate::logging::{self, LogFormat};
use crate::model::{self, NotHere};
use crate::{settings, supervisor};

const AFTER_HELP: &str = "\
Examples:
  hearth run ember \"What is the capital of France?\"
  hearth run ~/models/Qwen3-4B-4bit --system \"Answer in one line.\" < question.txt
  git diff | hearth run mlx-community/Qwen3-4B-4bit --temperature 0 -";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Model to ask: a folder, a Hugging Face id, ember, or a name that `hearth list` shows
    model: String,

    /// The question; read from standard input when absent or `-`
    prompt: Option<String>,

    /// Instructions for the model, given before the question
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    /// Tokens of the answer at most [default: up to the context's end]
    #[arg(long, env = "HEARTH_MAX_TOKENS", hide_env = true, value_name = "TOKENS")]
    max_tokens: Option<NonZeroUsize>,

    /// 0 for the likeliest answer, more for more varied ones [default: the model's own, else 1]
    #[arg(long, value_parser = temperature, value_name = "NUMBER")]
    temperature: Option<f32>,

    /// Makes a varied answer repeatable
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Template for conversations, a Jinja file, in place of the model's own
    #[arg(long, env = "HEARTH_CHAT_TEMPLATE", hide_env = true, value_name = "FILE")]
    chat_template: Option<PathBuf>,

    /// Tokens that prompt and answer may hold together [default: as many as the model can]
    #[arg(long, env = "HEARTH_CONTEXT", hide_env = true, value_name = "TOKENS")]
    context: Option<NonZeroUsize>,

    /// How the log on standard error is written: human or json [default: human]
    #[arg(long, env = "HEARTH_LOG_FORMAT", hide_env = true, hide_possible_values = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,

    /// error, warn, info, debug, trace, or a filter such as hearth_engine=debug,info [default: warn]
    #[arg(long, env = "HEARTH_LOG_LEVEL", hide_env = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

fn temperature(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=2.0).contains(&value) => Ok(value),
        _ => Err("it is a number from 0 to 2".to_owned()),
    }
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    run(arguments).unwrap_or_else(|error| fail(&error))
}

fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let logging = settings::logging(arguments.log_format, arguments.log_level.clone(), "warn")?;
    logging::init(&logging);
    match find(&arguments.model)? {
        Found::Here(model) => arguments.model = model,
        Found::Not(code) => return Ok(code),
    }
    let options = EngineOptions {
        max_batch: 1,
        context: arguments.context.map(Into::into),
        chat_template: arguments.chat_template.clone(),
        // One question, and nothing after it.
        cache: CacheOptions { memory: Some(0), ..CacheOptions::default() },
        ..EngineOptions::default()
    };
    let engine = supervisor::engine(vec![model::find(&arguments.model)?], options, &logging.level)?;
    let model = arguments.model.clone();
    let request = request(arguments)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the threads of the program")?;
    runtime.block_on(async {
        let outcome = tokio::select! {
            outcome = answer(&engine, &model, request) => outcome.map(|()| ExitCode::SUCCESS),
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(EXIT_INTERRUPTED)),
        };
        engine.shutdown().await;
        outcome
    })
}

/// Where a model was looked for.
enum Found {
    /// By a name that the engine knows.
    Here(String),
    /// It was to be downloaded, and that ended so.
    Not(ExitCode),
}

/// Finds a model by its folder or id, or by any name that `hearth list` has for it; offers to download it at a terminal.
fn find(name: &str) -> Result<Found> {
    let Err(error) = model::find(name) else { return Ok(Found::Here(name.to_owned())) };
    let client = client::connect()?;
    let unknown = match client.get(&client::model(name)) {
        Ok(answer) => return Ok(Found::Here(client::read::<Model>(&answer)?.dir.to_string_lossy().into_owned())),
        Err(unknown) => unknown,
    };
    match error.is::<NotHere>() {
        true if io::stdin().is_terminal() => fetch(&client, name),
        false if !Path::new(name).exists() => Err(unknown),
        _ => Err(error),
    }
}

/// Offers a download, with what it takes.
fn fetch(client: &Client, repo: &str) -> Result<Found> {
    let fit = client.get(&format!("/fit?repo={}", client::segment(repo)))?;
    let RepoFit { bytes, fit } = client::read(&fit)?;
    let question = format!("{repo} is not on this machine. {} Download {}?", plain(&fit.sentence), size(bytes));
    if !confirmed(&question, &format!("hearth pull {repo}"))? {
        return Ok(Found::Not(ExitCode::FAILURE));
    }
    match pull::pull(client, repo, None, View::new(false))? {
        Ended::Done(_) => Ok(Found::Here(repo.to_owned())),
        paused => Ok(Found::Not(paused.code())),
    }
}

fn request(arguments: Arguments) -> Result<ChatRequest> {
    let system = arguments.system.map(|text| Message::text(Role::System, text));
    let question = Message::text(Role::User, prompt(arguments.prompt)?);
    Ok(ChatRequest {
        messages: system.into_iter().chain([question]).collect(),
        max_tokens: arguments.max_tokens.map(Into::into),
        sampling: SamplingOverrides {
            temperature: arguments.temperature,
            seed: arguments.seed,
            ..SamplingOverrides::default()
        },
        ..ChatRequest::default()
    })
}

fn prompt(given: Option<String>) -> Result<String> {
    let text = match given {
        Some(text) if text != "-" => text,
        _ => {
            if io::stdin().is_terminal() {
                eprintln!("Type the question, then press Ctrl-D on an empty line.");
            }
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("cannot read the question from standard input")?;
            text.trim_end().to_owned()
        }
    };
    if text.trim().is_empty() {
        bail!("the question is empty: give it after the model, or on standard input");
    }
    Ok(text)
}

async fn answer(engine: &Engine, model: &str, request: ChatRequest) -> Result<()> {
    engine.load("", None).await.with_context(|| format!("cannot load {model}"))?;
    let stream = engine.chat(request).await?;
    let printer = Printer { out: io::stdout(), aside: io::stderr(), dim: io::stderr().is_terminal(), thinking: false };
    match print(stream, printer).await {
        // Whoever read the answer has left: nothing is wrong.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        printed => printed,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn print(mut stream: ChatStream, mut printer: Printer<impl Write, impl Write>) -> Result<()> {
    while let Some(event) = stream.next().await {
        printer.print(&event?.1)?;
    }
    Ok(())
}

/// The answer to one side, everything else to the other.
struct Printer<O, A> {
    out: O,
    aside: A,
    dim: bool,
    /// Whether the last that was printed is a thought.
    thinking: bool,
}

impl<O: Write, A: Write> Printer<O, A> {
    fn print(&mut self, event: &Event) -> io::Result<()> {
        let thinks = matches!(event, Event::Reasoning(_));
        if std::mem::replace(&mut self.thinking, thinks) && !thinks {
            // On a terminal both sides show, and the answer begins on a line of its own.
            self.say_aside("\n")?;
        }
        match event {
            Event::Text { text, .. } => write!(self.out, "{text}")?,
            Event::Reasoning(text) => self.say_aside(text)?,
            // No tools are offered, so a call is an accident of the model's; it is shown as what it is.
            Event::ToolCallStart { name, .. } => write!(self.out, "{name}")?,
            Event::ToolCallArguments { fragment, .. } => write!(self.out, "{fragment}")?,
            Event::Finished { reason, .. } => {
                writeln!(self.out)?;
                if *reason == FinishReason::Length {
                    self.say_aside("(cut off at the limit of tokens)\n")?;
                }
            }
        }
        self.out.flush()
    }

    fn say_aside(&mut self, text: &str) -> io::Result<()> {
        if self.dim { write!(self.aside, "\x1b[2m{text}\x1b[0m") } else { write!(self.aside, "{text}") }
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::event::Usage;

    use super::*;

    fn printed(events: &[Event]) -> (String, String) {
        let mut printer = Printer { out: Vec::new(), aside: Vec::new(), dim: false, thinking: false };
        events.iter().for_each(|event| printer.print(event).unwrap());
        (String::from_utf8(printer.out).unwrap(), String::from_utf8(printer.aside).unwrap())
    }

    #[test]
    fn thoughts_stay_out_of_the_answer() {
        let text = |text: &str| Event::Text { text: text.into(), logprobs: Vec::new() };
        let end = |reason| Event::Finished { reason, usage: Usage::default(), report: Box::default() };
        let events = [Event::Reasoning("hm".into()), text("Pa"), text("ris"), end(FinishReason::Stop)];
        assert_eq!(printed(&events), ("Paris\n".into(), "hm\n".into()));
        let events = [text("Pa"), end(FinishReason::Length)];
        assert_eq!(printed(&events), ("Pa\n".into(), "(cut off at the limit of tokens)\n".into()));
    }

    #[test]
    fn an_empty_question_is_refused() {
        assert!(prompt(Some("  ".into())).unwrap_err().to_string().contains("empty"));
        assert_eq!(prompt(Some(" Hi ".into())).unwrap(), " Hi ");
    }

    #[test]
    fn a_temperature_is_a_number_in_bounds() {
        assert_eq!(temperature("0.7"), Ok(0.7));
        for text in ["-1", "hot", "nan", "inf", "2.1"] {
            assert!(temperature(text).is_err(), "{text}");
        }
    }
}
