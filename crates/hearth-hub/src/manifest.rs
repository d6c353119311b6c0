//! What a download has to fetch: one commit's files with sizes and hashes, of those that a model needs.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use hf_hub::HFError;
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Response, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::error::HubError;
use crate::files::{Commit, FileName, RepoId, Revision};
use crate::hash::Digest;
use crate::registry::Hub;
use crate::retry::{Trouble, refused, retry, retry_after};

const MAX_FILES: usize = 4096;
/// No list of so many files is longer.
const MAX_LIST: usize = 16 << 20;
/// No `config.json` is longer.
const MAX_CONFIG: usize = 1 << 20;
/// 64 TB: more than any model, and sums of it stay far from overflowing.
const MAX_FILE: u64 = 1 << 46;

/// One commit of a repository.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Whose files these are.
    pub repo: RepoId,
    /// What was asked for.
    pub revision: Revision,
    /// What that is now.
    pub commit: Commit,
    /// What a model needs of it, by name.
    pub files: Vec<ModelFile>,
}

/// One file to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// Path in the repository.
    pub name: FileName,
    /// Bytes.
    pub size: u64,
    /// What its content hashes to.
    pub digest: Digest,
}

impl Manifest {
    /// Bytes of all its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl Hub {
    /// What there is to fetch of a repository: its commit, and the files that a model needs.
    ///
    /// # Errors
    /// When the Hub refuses or does not answer, or when it lists what must not be stored.
    pub async fn manifest(&self, repo: &RepoId, revision: &Revision) -> Result<Manifest, HubError> {
        self.check_online()?;
        let commit = retry(self, || self.commit(repo, revision)).await?;
        let mut entries = Vec::new();
        let mut next = Some(self.tree_url(repo, &commit));
        while let Some(url) = next {
            let (page, link) = retry(self, || self.tree_page(repo, revision, url.clone())).await?;
            entries.extend(page);
            if entries.len() > MAX_FILES {
                return Err(refuse(repo, format!("it has more than {MAX_FILES} files")));
            }
            next = link.map(|query| with_query(&url, &query));
        }
        let files = select(repo, entries)?;
        Ok(Manifest { repo: repo.clone(), revision: revision.clone(), commit, files })
    }

    /// The `config.json` of a commit, as it is told, not checked against its hash: enough to reckon with.
    ///
    /// # Errors
    /// When there is none, or the Hub refuses or does not answer.
    pub async fn config(&self, manifest: &Manifest) -> Result<Value, HubError> {
        self.check_online()?;
        retry(self, || self.config_once(manifest)).await
    }

    async fn config_once(&self, manifest: &Manifest) -> Result<Value, Trouble> {
        let (repo, name) = (&manifest.repo, "config.json");
        let url = self.url([repo.owner(), repo.name(), "resolve", manifest.commit.as_str(), name]);
        let response = timed(self.patience().stall, self.get(url).send()).await??;
        let response = check(self, (repo, manifest.revision.as_str(), name), response)?;
        let body = timed(self.patience().stall, read_at_most(response, MAX_CONFIG)).await??;
        Ok(serde_json::from_slice(&body).map_err(|error| HubError::Answer(format!("{name} of {repo}: {error}")))?)
    }

    async fn commit(&self, repo: &RepoId, revision: &Revision) -> Result<Commit, Trouble> {
        let model = self.api().model(repo.owner(), repo.name());
        match model.info().revision(revision.as_str()).send().await {
            Ok(info) => Ok(info.sha.unwrap_or_default().parse()?),
            Err(error) => Err(self.api_trouble(error, repo, revision)),
        }
    }

    fn api_trouble(&self, error: HFError, repo: &RepoId, revision: &Revision) -> Trouble {
        let (context, wait) = match error {
            HFError::RateLimited { context, retry_after } => (context, retry_after),
            HFError::Http { context } | HFError::AuthRequired { context } | HFError::Forbidden { context } => {
                (context, None)
            }
            HFError::RepoNotFound { context: Some(context), .. }
            | HFError::RevisionNotFound { context: Some(context), .. } => (context, None),
            HFError::Request { source, .. } => return source.into(),
            other => return HubError::Answer(other.to_string()).into(),
        };
        let code = context.error_code.as_deref();
        refused(self, (repo, revision.as_str(), ""), context.status.as_u16(), code, wait)
    }

    fn tree_url(&self, repo: &RepoId, commit: &Commit) -> Url {
        let mut url = self.url(["api", "models", repo.owner(), repo.name(), "tree", commit.as_str()]);
        url.set_query(Some("recursive=true"));
        url
    }

    /// One page of the list of files, and the query of the next.
    async fn tree_page(
        &self,
        repo: &RepoId,
        revision: &Revision,
        url: Url,
    ) -> Result<(Vec<Entry>, Option<String>), Trouble> {
        let asked = (repo, revision.as_str(), "");
        let response = check(self, asked, timed(self.patience().stall, self.get(url).send()).await??)?;
        let next = next_query(response.headers());
        let body = timed(self.patience().stall, read_at_most(response, MAX_LIST)).await??;
        let entries = serde_json::from_slice(&body);
        Ok((entries.map_err(|error| HubError::Answer(format!("its list of files: {error}")))?, next))
    }
}

/// The answer, if it is one.
pub(crate) fn check(hub: &Hub, asked: (&RepoId, &str, &str), response: Response) -> Result<Response, Trouble> {
    if response.status().is_success() {
        return Ok(response);
    }
    let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok());
    Err(refused(hub, asked, response.status().as_u16(), code, retry_after(response.headers())))
}

/// What a request brings, or a stall.
pub(crate) async fn timed<T>(limit: Duration, request: impl Future<Output = T>) -> Result<T, Trouble> {
    let late = |_| Trouble::passing(format!("nothing came for {} s", limit.as_secs_f32()));
    tokio::time::timeout(limit, request).await.map_err(late)
}

async fn read_at_most(response: Response, limit: usize) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        body.extend_from_slice(&piece?);
        if body.len() > limit {
            return Err(HubError::Answer("it does not end".into()).into());
        }
    }
    Ok(body)
}

/// The query of `Link: <…?query>; rel="next"`. Only the query counts: the address stays the one that we chose, so that no
/// answer sends the token elsewhere, and mirrors need not rewrite it.
fn next_query(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let url = next.split_once('<')?.1.split_once('>')?.0;
    Some(url.split_once('?')?.1.to_owned())
}

fn with_query(url: &Url, query: &str) -> Url {
    let mut url = url.clone();
    url.set_query(Some(query));
    url
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    oid: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// The files that a model needs. One hostile entry, even among those that nobody needs, spoils the whole list.
fn select(repo: &RepoId, entries: Vec<Entry>) -> Result<Vec<ModelFile>, HubError> {
    let mut files: BTreeMap<String, ModelFile> = BTreeMap::new();
    for entry in entries {
        let name: FileName = entry.path.parse()?;
        if entry.kind == "directory" {
            continue;
        }
        if entry.kind != "file" {
            return Err(refuse(repo, format!("{name} is no plain file")));
        }
        let file = model_file(repo, name, &entry)?;
        // Many file systems of Macs take both names for one file.
        if is_needed(&file.name) && files.insert(file.name.as_str().to_lowercase(), file).is_some() {
            return Err(refuse(repo, format!("it has two files named {}", entry.path)));
        }
    }
    if files.is_empty() {
        return Err(refuse(repo, "it holds no file that a model needs".into()));
    }
    Ok(files.into_values().collect())
}

fn model_file(repo: &RepoId, name: FileName, entry: &Entry) -> Result<ModelFile, HubError> {
    let digest = match &entry.lfs {
        Some(lfs) if lfs.size != entry.size => return Err(refuse(repo, format!("{name} has two sizes"))),
        Some(lfs) => Digest::sha256(&lfs.oid)?,
        None => Digest::git_blob(&entry.oid)?,
    };
    if entry.size > MAX_FILE {
        return Err(refuse(repo, format!("{name} would have {} bytes", entry.size)));
    }
    Ok(ModelFile { name, size: entry.size, digest })
}

/// Weights, configuration, tokenizer, templates, and what a person should read; never code, pickles or other formats.
fn is_needed(name: &FileName) -> bool {
    let name = name.as_str().to_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    let ends = |words: &[&str]| words.iter().any(|word| name.ends_with(word));
    if let Some(template) = name.strip_prefix("additional_chat_templates/") {
        return template.ends_with(".jinja") && !template.contains('/');
    }
    // Some repositories hold the weights twice, once in their maker's own layout.
    let weights = ends(&[".safetensors", ".safetensors.index.json"]) && !begins(&["consolidated"]);
    let data = ends(&[".json", ".jinja", ".txt", ".model", ".tiktoken"])
        && begins(&[
            "config",
            "generation_config",
            "tokenizer",
            "special_tokens",
            "added_tokens",
            "vocab",
            "merges",
            "chat_template",
            "preprocessor_config",
            "processor_config",
            "video_preprocessor_config",
            "qwen.tiktoken",
            "spiece",
            "sentencepiece",
        ]);
    let papers = begins(&["license", "readme", "notice", "use_policy"]) && !ends(&[".png", ".jpg", ".py"]);
    !name.contains('/') && (weights || data || papers)
}

fn refuse(repo: &RepoId, why: String) -> HubError {
    HubError::Refused { repo: repo.to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(name: &str) -> bool {
        is_needed(&name.parse().unwrap())
    }

    #[test]
    fn a_model_needs_weights_configuration_tokenizer_templates_and_papers() {
        let names = [
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "model-00001-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
            "tokenizer.model",
            "tokenizer_config.json",
            "merges.txt",
            "special_tokens_map.json",
            "vocab.json",
            "chat_template.jinja",
            "additional_chat_templates/rag.jinja",
            "added_tokens.json",
            "LICENSE",
            "LICENSE.txt",
            "README.md",
            "USE_POLICY.md",
            "preprocessor_config.json",
        ];
        assert_eq!(names.iter().filter(|name| !needed(name)).collect::<Vec<_>>(), Vec::<&&str>::new());
    }

    #[test]
    fn it_needs_no_code_no_pickles_and_no_other_formats() {
        let names = [
            "pytorch_model.bin",
            "model.pt",
            "x.pkl",
            "m.gguf",
            "onnx/model.onnx",
            "onnx/config.json",
            "modeling_x.py",
            ".gitattributes",
            "original/model.safetensors",
            "consolidated.safetensors",
            "tokenizer.py",
            "config.py",
            "additional_chat_templates/a/b.jinja",
            "optimizer.json",
            "readme.png",
        ];
        assert_eq!(names.iter().filter(|name| needed(name)).collect::<Vec<_>>(), Vec::<&&str>::new());
    }

    fn selected(entries: serde_json::Value) -> Result<Vec<ModelFile>, String> {
        let repo = "a/b".parse().unwrap();
        select(&repo, serde_json::from_value(entries).unwrap()).map_err(|error| error.to_string())
    }

    fn entry(path: &str) -> serde_json::Value {
        serde_json::json!({"type": "file", "path": path, "size": 1, "oid": "0".repeat(40)})
    }

    #[test]
    fn one_hostile_entry_spoils_the_list() {
        let good = entry("config.json");
        assert_eq!(selected(serde_json::json!([good])).unwrap().len(), 1);
        let mut link = entry("tokenizer.json");
        link["type"] = "symlink".into();
        let mut huge = entry("model.safetensors");
        huge["size"] = u64::MAX.into();
        let mut two = entry("model.safetensors");
        two["lfs"] = serde_json::json!({"oid": "0".repeat(64), "size": 2});
        let cases = [
            (entry("../x.bin"), "`../x.bin`"),
            (entry("CONFIG.json"), "two files named CONFIG.json"),
            (link, "tokenizer.json is no plain file"),
            (huge, "model.safetensors would have"),
            (two, "model.safetensors has two sizes"),
        ];
        for (bad, culprit) in cases {
            let error = selected(serde_json::json!([good, bad])).unwrap_err();
            assert!(error.contains(culprit), "{error}");
        }
    }

    #[test]
    fn only_the_query_of_a_link_is_followed() {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, "<https://evil.example/x?recursive=true&cursor=7>; rel=\"next\"".parse().unwrap());
        let next = with_query(&"http://hub/tree".parse().unwrap(), &next_query(&headers).unwrap());
        assert_eq!(next.as_str(), "http://hub/tree?recursive=true&cursor=7");
    }
}
