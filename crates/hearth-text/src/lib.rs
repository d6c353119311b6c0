//! Text on its way to a model and back: tokenizers, chat templates, stop texts and output formats.
//!
//! Nothing here is asynchronous, opens a connection or reads a clock: the time that a template may print is passed in.
//! The way in is [`prompt()`], the way back [`detokenizer`], [`stop`] and [`parser`], in that order.

pub mod detokenizer;
pub mod parser;
pub mod prompt;
pub mod stop;
pub mod template;
pub mod tokenizer;

pub use detokenizer::Detokenizer;
pub use parser::OutputParser;
pub use prompt::{Prompt, history, prompt};
pub use stop::{StopMatcher, StopOutcome};
pub use template::{ChatTemplate, LocalTime};
pub use tokenizer::{Encoded, SpecialTokens, TextPiece, Tokenizer};
