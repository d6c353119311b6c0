//! What the command line takes, refuses and says.

use std::net::TcpListener;
use std::process::{Command, Output};

use hearth_tests::models::Copy;
use hearth_tests::{Server, hearth};

fn run(change: impl FnOnce(&mut Command)) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = hearth(home.path());
    change(&mut command);
    command.output().unwrap()
}

/// How it ended, and what it said on standard error.
fn refused(change: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
    let output = run(change);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn help_shows_a_newcomer_the_way() {
    let table: [(&[&str], &[&str]); 9] = [
        (&["--help"], &["serve", "run", "cache", "doctor", "Examples:", "http://127.0.0.1:8080/v1"]),
        (&["--help"], &["pull", "list", "show", "rm", "rename", "search", "ps", "stop", "status"]),
        (&["pull", "--help"], &["--revision", "--json", "HF_TOKEN", "Ctrl-C pauses", "Examples:"]),
        (&["serve", "--help"], &["--api-key", "[default: 127.0.0.1", "HEARTH_MAX_TOKENS", "Examples:"]),
        (&["serve", "--help"], &["Cache:", "--cache-disk", "--session-ttl", "HEARTH_HOME/cache"]),
        (&["cache", "--help"], &["clear", "--json", "Examples:"]),
        (&["doctor", "--help"], &["--verify-cache <MODEL>", "switched off", "Examples:"]),
        (&["run", "--help"], &["--temperature", "standard input", "Examples:"]),
        (&["--version"], &[concat!("hearth ", env!("CARGO_PKG_VERSION"))]),
    ];
    for (arguments, parts) in table {
        let output = run(|command| _ = command.args(arguments));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        for part in parts {
            assert!(text.contains(part), "{arguments:?} does not say {part}:\n{text}");
        }
    }
}

#[test]
fn what_cannot_work_is_refused_in_one_sentence() {
    let table: [(&[&str], i32, &str); 15] = [
        (&["pull"], 2, "<REPO>"),
        (&["ps"], 1, "ERROR: no server is running: start one with `hearth serve`\n"),
        (&["stop", "ember"], 1, "ERROR: no server is running"),
        (&["status", "--json"], 1, "ERROR: no server is running"),
        (&["serve", "--port", "99999"], 2, "99999"),
        (&["serve", "--max-tokens", "0"], 2, "--max-tokens"),
        (&["serve", "--no-such-flag"], 2, "--no-such-flag"),
        (&["serve", "--cache-disk", "much"], 2, "`much` is not a size: write it as 4G, 512M or 0"),
        (&["serve", "--session-ttl", "7"], 2, "`7` is not a time: write it as 30s, 15m, 24h or 7d"),
        (&["serve", "--kv-bits", "16"], 2, "`16` is not 8 or 4"),
        (&["doctor", "--verify-cache", "no-such-model"], 1, "ERROR: there is no model `no-such-model`"),
        (&["serve", "--host", "0.0.0.0"], 1, "ERROR: --host 0.0.0.0 lets other machines use this server"),
        (&["serve", "-C", "no-such.toml"], 1, "ERROR: cannot read the configuration file no-such.toml"),
        (&["serve", "--chat-template", "no-such.jinja"], 1, "ERROR: cannot read the chat template no-such.jinja"),
        (&["serve", "--log-level", "loud"], 1, "ERROR: `loud` is not a log level"),
    ];
    for (arguments, code, part) in table {
        let (status, said) = refused(|command| _ = command.args(arguments));
        assert_eq!(status, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_any_request() {
    for memory in ["1", "1M"] {
        let (status, said) = refused(|command| _ = command.args(["serve", "--port", "0", "--memory", memory]));
        assert_eq!(status, Some(1), "{said}");
        let line = said.lines().last().unwrap();
        assert!(line.starts_with("ERROR: cannot load ember: This model needs at least "), "{said}");
        assert!(line.contains("MB of them for its weights") && line.contains("raise --memory"), "{said}");
    }
}

#[test]
fn an_unknown_protocol_is_named() {
    let (status, said) = refused(|command| _ = command.args(["serve", "--protocols", "openai,Grpc"]));
    assert_eq!(status, Some(1));
    assert_eq!(said, "ERROR: Unknown protocol 'grpc'. Valid options: openai, ollama, anthropic\n");
    let (status, said) = refused(|command| _ = command.args(["serve", "--protocols", "anthropic"]));
    assert_eq!(status, Some(1));
    assert!(said.starts_with("ERROR: Protocol 'anthropic' is not in this version yet"), "{said}");
}

/// Whoever wins has its unknown protocol named.
#[test]
fn a_flag_is_stronger_than_a_variable_and_a_variable_than_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hearth.toml");
    std::fs::write(&file, "protocols = ['file']").unwrap();
    let table: [(bool, bool, &str); 3] = [(true, true, "flag"), (false, true, "variable"), (false, false, "file")];
    for (flag, variable, winner) in table {
        let (_, said) = refused(|command| {
            command.arg("serve").arg("-C").arg(&file);
            if flag {
                command.args(["--protocols", "flag"]);
            }
            if variable {
                command.env("HEARTH_PROTOCOLS", "variable");
            }
        });
        assert!(said.contains(&format!("Unknown protocol '{winner}'")), "{winner}: {said}");
    }
}

#[test]
fn an_unknown_key_in_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hearth.toml");
    std::fs::write(&file, "prot = 8080").unwrap();
    let (status, said) = refused(|command| _ = command.arg("serve").arg("-C").arg(&file));
    assert_eq!(status, Some(1));
    assert!(said.contains("unknown field `prot`") && said.contains("hearth.toml"), "{said}");
}

#[test]
fn a_port_in_use_names_its_holder_and_ends_with_2() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let (status, said) = refused(|command| _ = command.args(["serve", "--port", &port]));
    assert_eq!(status, Some(2), "{said}");
    let holder = format!("(process {})", std::process::id());
    assert!(said.starts_with(&format!("ERROR: port {port} on 127.0.0.1 is taken by ")), "{said}");
    assert!(said.contains(&holder) && said.lines().count() == 1, "{said}");
}

#[test]
fn the_banner_says_what_runs_where() {
    let server = Server::start(&["--api-key", "secret"]);
    let rule = "=".repeat(60);
    let base = server.base();
    let expected = format!(
        "Loading model: ember\n\n{rule}\nHearth is ready\nModel     : ember\nProtocols : openai\nBase URL  : {base}\n\
         OpenAI URL: {base}/v1\nAuth      : Bearer token enabled\n{rule}\n"
    );
    let link = server.banner().lines().find(|line| line.starts_with("Open in a browser: ")).expect("a link");
    // The rule before the name ends what `Server` waits for only together with it.
    assert_eq!(server.banner().replace(&format!("{link}\n"), ""), expected);
}

#[test]
fn a_folder_is_called_by_its_own_name() {
    let model = Copy::of_ember("Little Ember");
    let server = Server::start_with(&["."], |command| _ = command.current_dir(model.path()));
    let banner = server.banner();
    assert!(
        banner.contains("Loading model: Little Ember\n") && banner.contains("Model     : Little Ember\n"),
        "{banner}"
    );
    assert_eq!(server.get("/health").json()["model"], "little-ember");
}

#[test]
fn logs_for_programs_are_one_json_object_a_line() {
    let mut server = Server::start(&["--log-format", "json"]);
    server.signal(hearth_tests::process::Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success());
    assert!(!log.is_empty());
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}
