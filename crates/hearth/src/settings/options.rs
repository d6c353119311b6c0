//! What a person may set, in one list: each field is a flag, a `HEARTH_…` variable and a line of the file.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Args, Parser};
use serde::Deserialize;

use super::units::{Idle, KvBits, Size, Span};
use crate::logging::LogFormat;

/// What may be set for a server. `None` leaves the choice to whoever is asked next.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// The same as MODEL
    #[arg(short, long, env = "HEARTH_MODEL", hide_env = true)]
    pub model: Option<String>,

    /// Template for conversations, a Jinja file, in place of the model's own
    #[arg(long, env = "HEARTH_CHAT_TEMPLATE", hide_env = true, value_name = "FILE")]
    pub chat_template: Option<PathBuf>,

    /// Tokens that a prompt and its answer may hold together [default: as many as the model can]
    #[arg(long, env = "HEARTH_CONTEXT", hide_env = true, value_name = "TOKENS")]
    pub context: Option<NonZeroUsize>,

    /// Tokens of an answer where the request sets no limit [default: up to the context's end]
    #[arg(long, env = "HEARTH_MAX_TOKENS", hide_env = true, value_name = "TOKENS")]
    pub max_tokens: Option<NonZeroUsize>,

    /// Answers that are generated at the same time; more wait in a queue [default: 32]
    #[arg(long, env = "HEARTH_MAX_BATCH", hide_env = true, value_name = "COUNT")]
    pub max_batch: Option<NonZeroUsize>,

    /// Memory for all models, their caches and the work on them together, such as 12G [default: what the machine allows]
    #[arg(long, env = "HEARTH_MEMORY", hide_env = true, value_name = "SIZE")]
    pub memory: Option<Size>,

    /// How long a model stays loaded that nobody uses, such as 30s or 2h; 0 unloads it after each answer, never keeps it
    /// [default: 10m]
    #[arg(long, env = "HEARTH_IDLE_TIMEOUT", hide_env = true, value_name = "TIME")]
    pub idle_timeout: Option<Idle>,

    /// Memory for what was read in earlier requests, so that it is not read again; 0 keeps nothing [default: a quarter
    /// of what the model leaves, at least 512M]
    #[arg(long, env = "HEARTH_CACHE_MEMORY", hide_env = true, value_name = "SIZE", help_heading = "Cache")]
    pub cache_memory: Option<Size>,

    /// Room on disk for the same, and for sessions: it outlives the server; 0 writes nothing [default: 10G or a tenth of
    /// the free disk, the smaller]
    #[arg(long, env = "HEARTH_CACHE_DISK", hide_env = true, value_name = "SIZE", help_heading = "Cache")]
    pub cache_disk: Option<Size>,

    /// Folder for it [default: the system's folder for caches, or HEARTH_HOME/cache]
    #[arg(long, env = "HEARTH_CACHE_DIR", hide_env = true, value_name = "DIR", help_heading = "Cache")]
    pub cache_dir: Option<PathBuf>,

    /// Store caches in 8 or 4 bits a number: longer conversations fit, answers may differ a little [default: as the
    /// model computes]
    #[arg(long, env = "HEARTH_KV_BITS", hide_env = true, value_name = "8|4", help_heading = "Cache")]
    pub kv_bits: Option<KvBits>,

    /// Conversations that are remembered for clients that name them (session_id) [default: 1000]
    #[arg(long, env = "HEARTH_SESSIONS", hide_env = true, value_name = "COUNT", help_heading = "Cache")]
    pub sessions: Option<NonZeroUsize>,

    /// How long one is remembered after its last turn, such as 30s, 15m, 24h or 7d [default: 24h]
    #[arg(long, env = "HEARTH_SESSION_TTL", hide_env = true, value_name = "TIME", help_heading = "Cache")]
    pub session_ttl: Option<Span>,

    /// Address to listen on [default: 127.0.0.1, which only this machine can reach]
    #[arg(long, env = "HEARTH_HOST", hide_env = true, value_name = "ADDRESS", help_heading = "Network")]
    pub host: Option<String>,

    /// Port to listen on, 0 for any free one [default: 8080]
    #[arg(short, long, env = "HEARTH_PORT", hide_env = true, help_heading = "Network")]
    pub port: Option<u16>,

    /// Protocols to speak, separated by commas; this version speaks openai [default: openai]
    #[arg(long, env = "HEARTH_PROTOCOLS", hide_env = true, value_name = "NAMES", value_delimiter = ',')]
    #[arg(help_heading = "Network")]
    pub protocols: Option<Vec<String>>,

    /// Key that every request must carry as a bearer token (better set as HEARTH_API_KEY: others can read a flag)
    #[arg(long, env = "HEARTH_API_KEY", hide_env = true, value_name = "KEY", help_heading = "Network")]
    pub api_key: Option<String>,

    /// Listen beyond this machine although no API key is set
    #[arg(long, env = "HEARTH_ALLOW_UNAUTHENTICATED", hide_env = true, hide_possible_values = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    #[arg(help_heading = "Network")]
    pub allow_unauthenticated: Option<bool>,

    /// Web origin whose pages may use the server, such as http://localhost:3000; may be given more than once
    #[arg(long, env = "HEARTH_CORS_ORIGIN", hide_env = true, value_name = "ORIGIN", value_delimiter = ',')]
    #[arg(help_heading = "Network")]
    pub cors_origin: Option<Vec<String>>,

    /// Further name by which clients may address the server, such as my-mac.local; may be given more than once
    #[arg(long, env = "HEARTH_ALLOWED_HOST", hide_env = true, value_name = "NAME", value_delimiter = ',')]
    #[arg(help_heading = "Network")]
    pub allowed_host: Option<Vec<String>>,

    /// How the log on standard error is written: human or json [default: human]
    #[arg(
        long,
        env = "HEARTH_LOG_FORMAT",
        hide_env = true,
        hide_possible_values = true,
        value_name = "FORMAT",
        help_heading = "Log"
    )]
    pub log_format: Option<LogFormat>,

    /// error, warn, info, debug, trace, or a filter such as hearth_engine=debug,info [default: info]
    #[arg(long, env = "HEARTH_LOG_LEVEL", hide_env = true, value_name = "LEVEL", help_heading = "Log")]
    pub log_level: Option<String>,
}

impl Options {
    /// What the `HEARTH_…` variables say, for programs that have no flags.
    ///
    /// # Errors
    /// When one cannot be read, in words that name it.
    pub fn of_environment() -> Result<Self> {
        #[derive(Parser)]
        #[command(no_binary_name = true)]
        struct Variables {
            #[command(flatten)]
            options: Options,
        }
        Ok(Variables::try_parse_from([] as [&str; 0])?.options)
    }

    /// The options that a file holds; an unknown or wrong one is an error that names it and its line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
        toml::from_str(&text).map_err(|error| {
            let before = &text[..error.span().map_or(0, |span| span.start)];
            let number = before.matches('\n').count();
            let (line, number) = (text.lines().nth(number).unwrap_or_default().trim(), number + 1);
            let fault = error.message().replace('\n', ", ");
            anyhow!("the configuration file {} is not right in line {number}, `{line}`: {fault}", path.display())
        })
    }

    /// These options, and those of `weaker` where these are silent.
    pub fn or(self, weaker: Self) -> Self {
        Self {
            model: self.model.or(weaker.model),
            chat_template: self.chat_template.or(weaker.chat_template),
            context: self.context.or(weaker.context),
            max_tokens: self.max_tokens.or(weaker.max_tokens),
            max_batch: self.max_batch.or(weaker.max_batch),
            memory: self.memory.or(weaker.memory),
            idle_timeout: self.idle_timeout.or(weaker.idle_timeout),
            cache_memory: self.cache_memory.or(weaker.cache_memory),
            cache_disk: self.cache_disk.or(weaker.cache_disk),
            cache_dir: self.cache_dir.or(weaker.cache_dir),
            kv_bits: self.kv_bits.or(weaker.kv_bits),
            sessions: self.sessions.or(weaker.sessions),
            session_ttl: self.session_ttl.or(weaker.session_ttl),
            host: self.host.or(weaker.host),
            port: self.port.or(weaker.port),
            protocols: self.protocols.or(weaker.protocols),
            api_key: self.api_key.or(weaker.api_key),
            allow_unauthenticated: self.allow_unauthenticated.or(weaker.allow_unauthenticated),
            cors_origin: self.cors_origin.or(weaker.cors_origin),
            allowed_host: self.allowed_host.or(weaker.allowed_host),
            log_format: self.log_format.or(weaker.log_format),
            log_level: self.log_level.or(weaker.log_level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Options::read(file.path())
    }

    #[test]
    fn a_file_sets_every_option_by_its_flags_name() {
        let every = r#"
            model = "m"
            chat-template = "t.jinja"
            context = 1
            max-tokens = 2
            max-batch = 3
            memory = "12G"
            idle-timeout = "never"
            cache-memory = 0
            cache-disk = "1.5 GB"
            cache-dir = "c"
            kv-bits = 8
            sessions = 5
            session-ttl = "7d"
            host = "h"
            port = 4
            protocols = ["openai"]
            api-key = "k"
            allow-unauthenticated = true
            cors-origin = ["o"]
            allowed-host = ["a"]
            log-format = "json"
            log-level = "debug"
        "#;
        let options = read(every).unwrap();
        // What `or` forgets would be missing here; what the file does not know would have failed above.
        assert_eq!(Options::default().or(options.clone()), options);
        assert!(!format!("{options:?}").contains("None"), "{options:?}");
    }

    #[test]
    fn the_stronger_side_wins_field_by_field() {
        let strong = Options { port: Some(1), ..Options::default() };
        let weak = Options { port: Some(2), host: Some("h".into()), ..Options::default() };
        let merged = strong.or(weak);
        assert_eq!((merged.port, merged.host.as_deref()), (Some(1), Some("h")));
    }

    #[test]
    fn a_fault_in_the_file_is_named() {
        let table = [
            ("prot = 1", "line 1, `prot = 1`: unknown field `prot`"),
            ("host = 'h'\n\nport = 'x'\n", "line 3, `port = 'x'`"),
            ("\n  max-tokens = 0", "line 2, `max-tokens = 0`"),
            ("port", "line 1, `port`"),
            ("kv-bits = 5", "line 1, `kv-bits = 5`: `5` is not 8 or 4"),
            ("idle-timeout = 10", "`10` is not a time"),
            ("session-ttl = '0s'", "`0s` is not a time"),
            ("cache-disk = 'much'", "`much` is not a size"),
            ("cache-disk = -1", "line 1, `cache-disk = -1`"),
            ("host = '\nport = 1", "line 1, `host = '`"),
            ("[a]\nb = 1", "`a`"),
        ];
        for (text, culprit) in table {
            let message = format!("{:#}", read(text).unwrap_err());
            assert!(message.contains(culprit) && message.contains("is not right"), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
        assert!(Options::read(Path::new("no/such.toml")).unwrap_err().to_string().contains("no/such.toml"));
    }
}
