//! What engine and worker say to each other, and how it lies on a pipe.
//!
//! A frame is its length (four bytes, little-endian) and a postcard-encoded message. Whoever reads a frame that is too
//! long, cut off or not a message stops: there is no way to find the next one.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use hearth_core::model::ModelFacts;
use hearth_core::runner::Sampled;
use hearth_core::task::{Generate, Reuse, SessionKey};
use hearth_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Identifies a request on its worker.
pub(crate) type RequestId = u64;

/// Longest frame: a prompt of some million tokens.
const MAX_FRAME: usize = 16 << 20;
const HEADER: usize = 4;

/// What a worker loads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRequest {
    /// The model's folder.
    pub dir: PathBuf,
    /// A context smaller than the model's own.
    pub context: Option<usize>,
    /// Sequences that may be open at a time.
    pub max_batch: usize,
    /// What is kept of their caches.
    pub cache: CacheOptions,
}

/// What a worker keeps of the caches of answers that have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheOptions {
    /// Bytes in memory; `None`: a quarter of what the weights leave, at least 512 MB. 0 keeps nothing.
    pub memory: Option<u64>,
    /// Files that outlive the worker.
    pub disk: Option<DiskOptions>,
    /// Bits of a cached number, 8 or 4; `None`: as the model computes it.
    pub kv_bits: Option<u8>,
    /// Bytes that weights, caches and scratch may take together; `None`: what the machine allows.
    pub limit: Option<u64>,
}

/// Where caches lie on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskOptions {
    /// The folder, of all models.
    pub dir: PathBuf,
    /// Bytes that all of its files may take together.
    pub bytes: u64,
}

/// From engine to worker.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// The first command, given once.
    Load(LoadRequest),
    Generate {
        id: RequestId,
        task: Generate,
    },
    /// Unknown ids, as those of requests that have just ended, are ignored.
    Cancel(RequestId),
    /// Forgets what a session has left behind, in memory and on disk.
    Forget(SessionKey),
    /// Ends the worker; what still runs is dropped.
    Shutdown,
    /// From now on weights, caches and scratch may take so many bytes together.
    Limit(u64),
}

/// From worker to engine.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Report {
    Loaded(ModelFacts),
    /// The worker's last words, and what it has learned by then.
    LoadFailed(Error, Option<Box<ModelFacts>>),
    /// What one step brought, at most one entry for each request; while there is work, none now and then, as a sign of life.
    Step(Vec<Update>),
    /// Bytes of the weights that are read, of so many.
    Loading {
        done: u64,
        total: u64,
    },
    /// Bytes of caches that are kept, and that running sequences need.
    Memory {
        kept: u64,
        running: u64,
    },
    /// It knows its files, and has had removed of them what it was told to forget.
    Indexed,
}

/// What a step brought to one request.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) id: RequestId,
    /// Set in the request's first update, when it gets its slot.
    pub(crate) opened: Option<Box<Reuse>>,
    /// The next token of the answer.
    pub(crate) sampled: Option<Sampled>,
    /// Set in the request's last update.
    pub(crate) end: Option<End>,
}

/// Why a request has ended.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum End {
    /// Its last token is a stop token.
    Stop,
    /// It has as many tokens as it may.
    Length,
    Failed(Box<Error>),
}

/// Appends a frame.
pub(crate) fn encode(message: &impl Serialize, frame: &mut Vec<u8>) -> Result<()> {
    let start = frame.len();
    frame.extend([0; HEADER]);
    let written = postcard::to_io(message, &mut *frame).map(drop);
    let length = frame.len() - start - HEADER;
    if let Err(error) = written {
        frame.truncate(start);
        return Err(Error::internal(format!("A message to or from the worker cannot be encoded: {error}.")));
    }
    if length > MAX_FRAME {
        frame.truncate(start);
        return Err(Error::new(hearth_core::ErrorKind::InvalidRequest, too_long(length)));
    }
    let header = u32::try_from(length).expect("a frame is shorter than MAX_FRAME").to_le_bytes();
    frame[start..start + HEADER].copy_from_slice(&header);
    Ok(())
}

/// Writes one frame at once, using `buffer` for its bytes.
pub(crate) fn write(writer: &mut impl Write, message: &impl Serialize, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    encode(message, buffer)?;
    let written = writer.write_all(buffer).and_then(|()| writer.flush());
    written.map_err(|error| Error::internal(format!("The engine does not listen any more: {error}.")))
}

/// Reads one frame; `None` where the other side has closed the pipe between two frames.
pub(crate) fn read<T: DeserializeOwned>(reader: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Option<T>> {
    let mut header = [0; HEADER];
    if reader.read_exact(&mut header[..1]).is_err() {
        return Ok(None);
    }
    reader.read_exact(&mut header[1..]).map_err(cut_off)?;
    let length = length(header)?;
    buffer.resize(length, 0);
    reader.read_exact(buffer).map_err(cut_off)?;
    decode(buffer).map(Some)
}

/// The first frame's message in `bytes` and the frame's length, if it is all there.
pub(crate) fn first<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<(T, usize)>> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let length = length(*header)?;
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    Ok(Some((decode(payload)?, HEADER + length)))
}

fn length(header: [u8; HEADER]) -> Result<usize> {
    let length = u32::from_le_bytes(header) as usize;
    if length > MAX_FRAME { Err(Error::internal(too_long(length))) } else { Ok(length) }
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(Error::internal("A frame between engine and worker is longer than its message.")),
        Err(error) => Err(Error::internal(format!("A frame between engine and worker is not a message: {error}."))),
    }
}

fn too_long(length: usize) -> String {
    format!("A message of {length} bytes between engine and worker is over the limit of {MAX_FRAME}.")
}

fn cut_off(error: io::Error) -> Error {
    Error::internal(format!("The pipe between engine and worker is broken: {error}."))
}

#[cfg(test)]
mod tests {
    use hearth_core::runner::Logprobs;
    use hearth_core::sampling::SamplingParams;

    use super::*;

    fn commands() -> Vec<Command> {
        let task = Generate {
            prompt: vec![0, 127, 128, u32::MAX],
            max_tokens: usize::MAX,
            stop_tokens: vec![2],
            sampling: SamplingParams { logit_bias: vec![(7, -100.0)], seed: Some(u64::MAX), ..Default::default() },
            session: Some(u64::MAX),
            takes_over: true,
        };
        let disk = Some(DiskOptions { dir: "caches".into(), bytes: 10 << 30 });
        let cache = CacheOptions { memory: Some(0), disk, kv_bits: Some(8), limit: None };
        let load = LoadRequest { dir: "models/ember".into(), context: Some(512), max_batch: 32, cache };
        vec![
            Command::Load(load),
            Command::Generate { id: 1, task },
            Command::Cancel(u64::MAX),
            Command::Forget(7),
            Command::Shutdown,
            Command::Limit(12 << 30),
        ]
    }

    #[test]
    fn messages_come_back_as_they_were_sent() {
        let mut pipe = Vec::new();
        let mut buffer = Vec::new();
        for command in commands() {
            write(&mut pipe, &command, &mut buffer).unwrap();
        }
        let mut reader = pipe.as_slice();
        for command in commands() {
            assert_eq!(read::<Command>(&mut reader, &mut buffer).unwrap(), Some(command));
        }
        assert_eq!(read::<Command>(&mut reader, &mut buffer).unwrap(), None);
    }

    #[test]
    fn a_frame_is_taken_only_when_it_is_whole() {
        let logprobs = Logprobs { chosen: -0.5, top: vec![(3, -0.5), (4, -2.0)] };
        let updates = vec![
            Update {
                id: 1,
                opened: Some(Box::new(Reuse { matched: 900, shared: 1000, queue_ms: 0.5, ..Reuse::default() })),
                sampled: Some(Sampled { token: 3, logprobs: Some(logprobs) }),
                end: Some(End::Stop),
            },
            Update { id: 2, opened: None, sampled: None, end: Some(End::Failed(Box::new(Error::internal("no")))) },
        ];
        let report = Report::Step(updates);
        let mut frame = Vec::new();
        encode(&report, &mut frame).unwrap();
        for cut in 0..frame.len() {
            assert!(first::<Report>(&frame[..cut]).unwrap().is_none(), "{cut}");
        }
        let length = frame.len();
        frame.extend([1, 2, 3]);
        assert_eq!(first::<Report>(&frame).unwrap(), Some((report, length)));
    }

    #[test]
    fn bad_frames_are_errors_and_cost_no_memory() {
        let cases: [&[u8]; 6] = [
            &[255, 255, 255, 255, 0], // 4 GiB announced
            &[1, 0, 0, 0, 99],        // no such message
            &[0, 0, 0, 0],            // empty
            &[2, 0, 0, 0, 4, 4],      // more than the message
            &[9, 0, 0, 0, 4],         // cut off in the payload
            &[9, 0],                  // cut off in the header
        ];
        for case in cases {
            let mut buffer = Vec::new();
            assert!(read::<Command>(&mut &case[..], &mut buffer).is_err(), "{case:?}");
            assert!(buffer.capacity() < 1024, "{case:?}");
        }
        // A vector that claims more elements than the frame has bytes.
        let mut liar = vec![7, 0, 0, 0, 1, 5];
        liar.extend([255, 255, 255, 255, 15]);
        assert!(first::<Command>(&liar).is_err());
    }
}
