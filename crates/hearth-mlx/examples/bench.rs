//! Times a model folder as the engine would run it, for `cargo xtask bench`: one command a line on standard input, one
//! line `TOKENS SECONDS` on standard output, so that another program can be timed in turns with it.
//!
//! ```text
//! prefill TOKENS CHUNK              a prompt, up to its first token
//! extend HISTORY TOKENS             so many tokens after a history that is in the cache, up to the first new one
//! decode PROMPT TOKENS STREAMS      so many streams decode together after prompts of that length
//! operations STREAMS                not a time: the operations of one decode step, and 1
//! ```

use std::{
    error::Error,
    io::{self, BufRead, Write},
    path::Path,
    time::{Duration, Instant},
};

use hearth_core::{
    runner::{Feed, Resume, Runner, Segment, SlotId, Source},
    sampling::SamplingParams,
};
use hearth_mlx::{LoadOptions, MlxRunner, ops};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: bench MODEL_FOLDER < commands")?;
    let mut runner = hearth_mlx::load(Path::new(&dir), LoadOptions::default())?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let command = words.next().unwrap_or_default();
        let numbers = words.map(str::parse).collect::<Result<Vec<usize>, _>>()?;
        let (tokens, time) = match (command, numbers.as_slice()) {
            ("prefill", &[tokens, chunk]) => (tokens, prefill(&mut runner, tokens, chunk)?),
            ("extend", &[history, tokens]) => (tokens, extend(&mut runner, history, tokens)?),
            ("decode", &[prompt, tokens, streams]) => (tokens * streams, decode(&mut runner, prompt, tokens, streams)?),
            ("operations", &[streams]) => (operations(&mut runner, streams)?, Duration::from_secs(1)),
            _ => return Err(format!("unknown command {line:?}").into()),
        };
        println!("{tokens} {}", time.as_secs_f64());
        io::stdout().flush()?;
    }
    Ok(())
}

/// From the prompt to its first token.
fn prefill(runner: &mut MlxRunner, tokens: usize, chunk: usize) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let prompt = prompt(0, tokens);
    open(runner, 0, None)?;
    let mut chunks = prompt.chunks(chunk).peekable();
    while let Some(tokens) = chunks.next() {
        step(runner, [(0, Feed::Prompt { tokens, last: chunks.peek().is_none() })])?;
    }
    step(runner, [(0, Feed::Last)])?;
    let time = start.elapsed();
    runner.close(0);
    Ok(time)
}

/// A conversation's next turn.
fn extend(runner: &mut MlxRunner, history: usize, tokens: usize) -> Result<Duration, Box<dyn Error>> {
    let (old, new) = (prompt(0, history), prompt(1, tokens));
    open(runner, 0, None)?;
    for tokens in old.chunks(256) {
        step(runner, [(0, Feed::Prompt { tokens, last: false })])?;
    }
    // Put aside and taken over, so that nothing of it is left to compute.
    let history = runner.keep(0)?;
    let from = Some(Resume { from: Source::Take(history.id), tokens: &old });
    open(runner, 0, from.filter(|_| history.len > 0))?;
    let start = Instant::now();
    step(runner, [(0, Feed::Prompt { tokens: &new, last: true })])?;
    step(runner, [(0, Feed::Last)])?;
    let time = start.elapsed();
    runner.close(0);
    Ok(time)
}

/// `tokens` steps of `streams` rows, the prompts not counted.
fn decode(runner: &mut MlxRunner, length: usize, tokens: usize, streams: usize) -> Result<Duration, Box<dyn Error>> {
    let slots = 0..streams as SlotId;
    let prompts: Vec<_> = slots.clone().map(|slot| prompt(slot, length)).collect();
    slots.clone().try_for_each(|slot| open(runner, slot, None))?;
    step(runner, slots.clone().zip(prompts.iter().map(|tokens| Feed::Prompt { tokens, last: true })))?;
    let rows = || slots.clone().map(|slot| (slot, Feed::Sampled));
    step(runner, rows())?;
    let start = Instant::now();
    for _ in 0..tokens {
        step(runner, rows())?;
    }
    let time = start.elapsed();
    slots.clone().for_each(|slot| runner.close(slot));
    Ok(time)
}

/// Operations that a decode step builds.
fn operations(runner: &mut MlxRunner, streams: usize) -> Result<usize, Box<dyn Error>> {
    let mut count = |steps| {
        let before = ops::operations();
        decode(runner, 8, steps, streams).map(|_| ops::operations() - before)
    };
    Ok((count(2)? - count(1)?).try_into()?)
}

/// Token ids that any vocabulary of a few hundred has.
fn prompt(salt: u32, length: usize) -> Vec<u32> {
    (0..length as u32).map(|place| (place * 7 + salt) % 250).collect()
}

fn open(runner: &mut MlxRunner, slot: SlotId, from: Option<Resume<'_>>) -> Result<(), Box<dyn Error>> {
    Ok(runner.open(slot, &SamplingParams { temperature: 0.0, ..SamplingParams::default() }, from)?)
}

fn step<'a>(runner: &mut MlxRunner, feeds: impl IntoIterator<Item = (SlotId, Feed<'a>)>) -> Result<(), Box<dyn Error>> {
    let mut batch: Vec<_> = feeds.into_iter().map(|(slot, feed)| Segment { slot, feed, sampled: None }).collect();
    Ok(runner.step(&mut batch)?)
}
