//! The commands of the README, run as they stand there.

use std::process::Command;

use hearth_tests::{Server, root};

/// The `sh` blocks of the README that call curl.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).filter(|block| block.contains("curl")).collect()
}

#[test]
fn every_curl_command_of_the_readme_works() {
    let server = Server::start(&[]);
    let commands = commands();
    assert!(commands.len() >= 2, "plain and streamed at least: {commands:?}");
    for command in commands {
        assert!(command.contains("http://127.0.0.1:8080"), "{command}");
        let command = command.replace("http://127.0.0.1:8080", server.base());
        let output = Command::new("sh").args(["-e", "-c", &command]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(!answer.is_empty() && !answer.contains("\"error\""), "{command}\n{answer}");
        if command.contains("\"stream\"") {
            assert!(answer.starts_with("data: {") && answer.trim_end().ends_with("data: [DONE]"), "{answer}");
        }
    }
}
