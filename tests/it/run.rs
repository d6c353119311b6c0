//! `hearth run`: a question from the arguments or standard input, the answer on standard output.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use hearth_tests::hearth;
use hearth_tests::models::tireless_ember;
use hearth_tests::process::{self, Signal};

fn run(arguments: &[&str], input: Option<&str>) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = hearth(home.path());
    command.arg("run").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    feed(&mut command, input)
}

fn feed(command: &mut Command, input: Option<&str>) -> Output {
    let Some(input) = input else { return command.output().unwrap() };
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn it_answers_a_question_however_it_comes() {
    let question = "What is the capital of France?";
    let table: [(&[&str], Option<&str>); 3] =
        [(&["ember", question], None), (&["ember"], Some(question)), (&["ember", "-", "--seed", "7"], Some(question))];
    for (arguments, input) in table {
        let output = run(arguments, input);
        let (answer, aside) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(0), "{aside}");
        assert!(answer.contains("Paris") && answer.ends_with('\n'), "{answer}");
        assert_eq!(aside, "", "nothing but the answer");
    }
}

#[test]
fn an_answer_that_is_cut_off_says_so_beside_it() {
    let output = run(&["ember", "Who are you?", "--max-tokens", "2", "--temperature", "0"], None);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cut off"));
}

#[test]
fn a_question_that_is_empty_or_too_long_is_refused() {
    let long = "word ".repeat(50_000);
    for (input, part) in [("  \n", "the question is empty"), (long.as_str(), "context")] {
        let output = run(&["ember"], Some(input));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("ERROR: ") && said.contains(part), "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn ctrl_c_ends_an_answer_and_its_worker() {
    let model = tireless_ember();
    let home = tempfile::tempdir().unwrap();
    let mut command = hearth(home.path());
    command.args(["run", model.path(), "Hi"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let worker = process::child(child.id());
    process::signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!process::is_alive(worker));
}
