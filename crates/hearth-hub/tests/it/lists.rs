//! What the Hub lists: a repository's files over several pages, and search.

use hearth_hub::hash::Digest;
use hearth_hub::search::{Search, Sort};
use hearth_test_hub::{File, Repo, TestHub};

use crate::support::{MODEL, World, model};

#[tokio::test]
async fn a_manifest_names_what_a_model_needs_with_its_hashes() {
    let repo = model(1000);
    let world = World::new(repo.clone()).await;
    let manifest = world.manifest().await.unwrap();
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    let wanted =
        ["additional_chat_templates/tools.jinja", "config.json", "model.safetensors", "README.md", "tokenizer.json"];
    assert_eq!(names, wanted);
    assert_eq!(manifest.commit.as_str(), repo.commit());
    assert_eq!(manifest.files[2].digest, Digest::sha256(repo.files[3].etag()).unwrap());
    assert_eq!(manifest.files[1].digest, Digest::git_blob(repo.files[2].etag()).unwrap());
    assert_eq!(manifest.bytes(), repo.files.iter().map(|file| file.size).sum::<u64>() - 10);
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let files = (0..180).map(|at| File::new(format!("model-{at:05}.safetensors"), at.to_string())).collect();
    let world = World::new(Repo::new(MODEL, files)).await;
    assert_eq!(world.manifest().await.unwrap().files.len(), 180);
    assert_eq!(world.hub.seen().iter().filter(|seen| seen.path.contains("/tree/")).count(), 4);
}

fn listed(id: &str, downloads: u64, tags: &[&str]) -> Repo {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Repo { downloads, tags, gated: id.contains("gemma"), ..Repo::new(id, vec![]) }
}

async fn found(search: Search) -> Vec<String> {
    let mut repos = vec![
        listed("mlx-community/Qwen3-4B-4bit", 5, &["mlx", "chat"]),
        listed("mlx-community/gemma-3-4b-4bit", 9, &["mlx", "chat", "vision"]),
        listed("other/qwen-old", 7, &["gguf"]),
        listed("other/no--such", 8, &["mlx"]),
    ];
    repos.extend((0..60).map(|at| listed(&format!("filler/many-{at}"), 0, &["mlx"])));
    let hub = TestHub::start(repos).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = hearth_hub::registry::HubOptions::new(hub.url(), dir.path());
    let found = hearth_hub::registry::Hub::new(options).unwrap().search(&search).await.unwrap();
    assert!(found.iter().all(|model| model.gated == model.repo.contains("gemma") && model.likes == 3));
    found.into_iter().map(|model| model.repo).collect()
}

#[tokio::test]
async fn search_filters_sorts_and_ends() {
    let all = Search { sort: Sort::Downloads, limit: 2, ..Search::default() };
    assert_eq!(found(all.clone()).await, ["mlx-community/gemma-3-4b-4bit"]);
    let words = Search { words: " qwen ".into(), limit: 9, ..all.clone() };
    assert_eq!(found(words).await, ["other/qwen-old", "mlx-community/Qwen3-4B-4bit"]);
    let author = Search { author: Some("mlx-community".into()), limit: 9, ..all.clone() };
    assert_eq!(found(author).await, ["mlx-community/gemma-3-4b-4bit", "mlx-community/Qwen3-4B-4bit"]);
    let tags = Search { tags: vec!["mlx".into(), "vision".into()], limit: 9, ..all.clone() };
    assert_eq!(found(tags).await, ["mlx-community/gemma-3-4b-4bit"]);
    let many = Search { words: "many".into(), limit: 55, ..all };
    assert_eq!(found(many).await.len(), 55);
}
