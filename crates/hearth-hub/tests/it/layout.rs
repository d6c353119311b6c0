//! What lies on the disk after a download, and what a second one does with it.

use std::fs;
use std::path::PathBuf;

use hearth_hub::download::State;
use hearth_test_hub::{Fault, Kind};

use crate::support::{WEIGHTS, World, files, model};

#[tokio::test]
async fn a_model_lies_as_hugging_faces_tools_lay_it() {
    let repo = model(100_000);
    let world = World::new(repo.clone()).await;
    world.pull_whole().await;
    world.check_whole(&repo);
    let cache = world.cache();
    assert_eq!(fs::read_to_string(cache.dir().join("refs/main")).unwrap(), repo.commit());
    let link = |name: &str| fs::read_link(world.snapshot(&repo).join(name)).unwrap();
    let etag = |name: &str| repo.files.iter().find(|file| file.name == name).unwrap().etag().to_owned();
    let tools = "additional_chat_templates/tools.jinja";
    assert_eq!(link(WEIGHTS), PathBuf::from(format!("../../blobs/{}", etag(WEIGHTS))));
    assert_eq!(link(tools), PathBuf::from(format!("../../../blobs/{}", etag(tools))));
    assert_eq!(fs::read_dir(cache.dir().join("blobs")).unwrap().count(), 5);
}

#[tokio::test]
async fn a_second_download_fetches_nothing() {
    let repo = model(100_000);
    let world = World::new(repo.clone()).await;
    world.pull_whole().await;
    let sent = world.hub.bytes_sent("");
    world.pull_whole().await;
    assert_eq!(world.hub.bytes_sent(""), sent);
}

#[tokio::test]
async fn a_corrupted_byte_is_found_and_only_its_file_fetched_again() {
    let repo = model(100_000);
    let world = World::new(repo.clone()).await;
    world.pull_whole().await;
    let sent = world.hub.bytes_sent("");
    let weights = world.snapshot(&repo).join(WEIGHTS);
    let mut bytes = fs::read(&weights).unwrap();
    bytes[77_777] ^= 1;
    fs::write(fs::canonicalize(&weights).unwrap(), bytes).unwrap();
    world.pull_whole().await;
    world.check_whole(&repo);
    assert_eq!(world.hub.bytes_sent("") - sent, 100_000);
}

#[tokio::test]
async fn a_new_commit_shares_what_stayed_the_same() {
    let (old, mut new) = (model(100_000), model(100_000));
    let world = World::new(old.clone()).await;
    world.pull_whole().await;
    let sent = world.hub.bytes_sent("");
    new.files[2] = hearth_test_hub::File::new("config.json", "{\"model_type\": \"qwen3\"}");
    world.hub.serve(vec![new.clone()]);
    world.pull_whole().await;
    world.check_whole(&new);
    world.check_whole(&old);
    assert_eq!(fs::read_to_string(world.cache().dir().join("refs/main")).unwrap(), new.commit());
    assert_eq!(world.hub.bytes_sent("") - sent, new.files[2].size);
}

#[tokio::test]
async fn a_part_of_another_program_is_used_if_right_and_begun_anew_if_wrong() {
    for (part, bytes) in [("right", 60_000), ("wrong", 160_000), ("too long", 100_000), ("whole", 0)] {
        let repo = model(100_000);
        let world = World::new(repo.clone()).await;
        let partial = world.partial().await;
        fs::create_dir_all(partial.parent().unwrap()).unwrap();
        let content = match part {
            "right" => repo.files[3].content[..40_000].to_vec(),
            "wrong" => vec![7; 40_000],
            "too long" => vec![7; 100_001],
            _ => repo.files[3].content.to_vec(),
        };
        fs::write(&partial, content).unwrap();
        world.pull_whole().await;
        world.check_whole(&repo);
        assert_eq!(world.hub.bytes_sent(WEIGHTS), bytes, "{part}");
    }
}

#[tokio::test]
async fn nothing_has_its_name_before_everything_is_verified() {
    let repo = model(100_000);
    let world = World::new(repo.clone()).await;
    world.hub.fault(Fault::always("/cdn/", Kind::Short(100_000)));
    let last = world.pull().await;
    assert_eq!(last.state, State::Failed);
    assert!(!world.cache().dir().join("snapshots").exists() && !world.cache().dir().join("refs").exists());
    assert!(
        files(world.dir.path())
            .iter()
            .any(|path| path.ends_with(world.cache().dir().join("blobs").join(repo.files[2].etag())))
    );
    assert!(last.reason.unwrap().contains("the transfer ended early"));
}
