//! `hearth search`: looks for models on the Hub.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::answers::{Found, Search};
use super::words::{Side, table};
use super::{client, ended, say_answer};

const AFTER_HELP: &str = "\
Examples:
  hearth search qwen3 4bit
  hearth search gemma --author mlx-community --limit 5";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Words of the model's name
    #[arg(required = true)]
    words: Vec<String>,

    /// Owner of the models, such as mlx-community
    #[arg(long, value_name = "NAME")]
    author: Option<String>,

    /// Models at most
    #[arg(long, value_name = "COUNT", default_value = "20")]
    limit: NonZeroUsize,

    /// Print the API's JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    ended(run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    say_answer(&client::connect_to_read()?.get(&path(arguments))?, arguments.json, text)
}

fn path(Arguments { words, author, limit, .. }: &Arguments) -> String {
    let author = author.as_deref().map(|author| format!("&author={}", client::segment(author)));
    format!("/search?q={}&limit={limit}{}", client::segment(&words.join(" ")), author.unwrap_or_default())
}

fn text(answer: &Value) -> Result<String> {
    let Search { models } = client::read(answer)?;
    if models.is_empty() {
        return Ok("Nothing was found; try fewer words.\n".to_owned());
    }
    let head = [
        ("REPOSITORY", Side::Left),
        ("DOWNLOADS", Side::Right),
        ("LIKES", Side::Right),
        ("UPDATED", Side::Left),
        ("", Side::Left),
    ];
    Ok(table(head, &models.iter().map(row).collect::<Vec<_>>()))
}

fn row(found: &Found) -> [String; 5] {
    let mark = match found {
        Found { installed: true, .. } => "installed",
        Found { gated: true, .. } => "gated",
        _ => "",
    };
    let day = found.updated.iter().flat_map(|moment| moment.chars()).take_while(|c| *c != 'T').collect();
    [found.repo.clone(), found.downloads.to_string(), found.likes.to_string(), day, mark.to_owned()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_found_is_one_line_each() {
        let answer = json!({"models": [
            {"repo": "mlx-community/Qwen3-4B-4bit", "downloads": 12345, "likes": 67, "gated": false,
             "updated": "2025-04-28T12:00:00.000Z", "tags": [], "installed": true},
            {"repo": "google/gemma", "downloads": 9, "likes": 1, "gated": true, "updated": null, "tags": [], "installed": false},
        ]});
        let expected = "\
REPOSITORY                   DOWNLOADS  LIKES  UPDATED
mlx-community/Qwen3-4B-4bit      12345     67  2025-04-28  installed
google/gemma                         9      1              gated
";
        assert_eq!(text(&answer).unwrap(), expected);
        assert!(text(&json!({"models": []})).unwrap().starts_with("Nothing was found"));
    }

    #[test]
    fn words_become_one_query() {
        let limit = NonZeroUsize::new(5).unwrap();
        let mut arguments = Arguments { words: vec!["a&b".into(), "ü".into()], author: None, limit, json: false };
        assert_eq!(path(&arguments), "/search?q=a%26b%20%C3%BC&limit=5");
        arguments.author = Some("x/y".into());
        assert_eq!(path(&arguments), "/search?q=a%26b%20%C3%BC&limit=5&author=x%2Fy");
    }
}
