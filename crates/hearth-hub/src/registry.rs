//! The Hub: where it is, who asks, and how its refusals read.
//!
//! hf-hub resolves revisions and searches; what it does not do goes over the same client: the list of files with their
//! hashes (`manifest`), and the contents (`download`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hf_hub::HFClient;
use reqwest::{Client, NoProxy, Proxy, Url, redirect};

use crate::cache;
use crate::error::HubError;
use crate::files::RepoId;
use crate::retry::Patience;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 10;
/// hf-hub would look for a token by itself if it were given none; one that cannot be a header is never sent.
const NO_TOKEN: &str = "\n";

/// How to reach the Hub, and where downloads go.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// Address of the Hub or of a mirror.
    pub endpoint: String,
    /// For private and gated repositories.
    pub token: Option<String>,
    /// The Hugging Face cache folder.
    pub cache_dir: PathBuf,
    /// Nothing is asked of the network.
    pub offline: bool,
    /// For addresses of each kind, as `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` have them.
    pub proxies: Proxies,
    /// How long to wait for a Hub that fails.
    pub patience: Patience,
}

/// Addresses of proxies.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `https:` addresses.
    pub https: Option<String>,
    /// For `http:` addresses.
    pub http: Option<String>,
    /// For both.
    pub all: Option<String>,
    /// Hosts that are reached without one, with commas between them.
    pub none_for: Option<String>,
}

impl HubOptions {
    /// Options for a Hub at `endpoint` that keeps its files in `cache_dir`; all else as without any setting.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: endpoint.into(),
            token: None,
            cache_dir: cache_dir.into(),
            offline: false,
            proxies: Proxies::default(),
            patience: Patience::default(),
        }
    }

    /// Options from the variables that Hugging Face's own tools read: `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME`,
    /// `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, and those for proxies.
    ///
    /// # Errors
    /// When there is no place for the cache.
    pub fn from_env(env: impl Fn(&str) -> Option<OsString>) -> Result<Self, HubError> {
        let text = |name: &str| env(name)?.into_string().ok().map(|value| value.trim().to_owned());
        let text = |name: &str| text(name).filter(|value| !value.is_empty());
        let either = |name: &str| text(name).or_else(|| text(&name.to_lowercase()));
        let cache_dir = cache::cache_dir(&env).ok_or_else(|| {
            HubError::Setting("there is no place for downloads: set HF_HUB_CACHE (or HOME) to a folder".into())
        })?;
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Ok(Self {
            token: token(&env, text),
            offline: text("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            proxies: Proxies {
                https: either("HTTPS_PROXY"),
                http: either("HTTP_PROXY"),
                all: either("ALL_PROXY"),
                none_for: either("NO_PROXY"),
            },
            ..Self::new(endpoint, cache_dir)
        })
    }
}

/// The token in the environment, else the one that `hf auth login` left in a file.
fn token(env: impl Fn(&str) -> Option<OsString>, text: impl Fn(&str) -> Option<String>) -> Option<String> {
    if text("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|value| is_true(&value)) {
        return None;
    }
    let file = || env("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(cache::home_dir(&env)?.join("token")));
    let stored = || Some(std::fs::read_to_string(file()?).ok()?.trim().to_owned());
    text("HF_TOKEN").or_else(stored).filter(|token| !token.is_empty())
}

fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
}

/// A Hub that can be asked. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
    patience: Patience,
}

struct Inner {
    options: HubOptions,
    endpoint: Url,
    api: HFClient,
    anonymous: HFClient,
    http: Client,
}

impl Hub {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When the endpoint or a proxy is no address.
    pub fn new(options: HubOptions) -> Result<Self, HubError> {
        let endpoint = endpoint(&options.endpoint)?;
        let http = client(&options)?;
        let api = |token: &str| {
            HFClient::builder()
                .endpoint(options.endpoint.trim_end_matches('/'))
                .token(token)
                .cache_dir(&options.cache_dir)
                .client(http.clone())
                .retry_max_attempts(0) // ours heed Retry-After
                .build()
                .map_err(|error| HubError::Setting(format!("HF_ENDPOINT cannot be used: {error}")))
        };
        let (named, anonymous) = (api(options.token.as_deref().unwrap_or(NO_TOKEN))?, api(NO_TOKEN)?);
        let patience = options.patience;
        Ok(Self { inner: Arc::new(Inner { api: named, anonymous, endpoint, http, options }), patience })
    }

    /// The same Hub for somebody who waits for the answer, and would rather hear soon that there is none.
    #[must_use]
    pub fn in_a_hurry(&self) -> Self {
        Self { inner: self.inner.clone(), patience: self.patience.in_a_hurry() }
    }

    /// What it was made from.
    #[must_use]
    pub fn options(&self) -> &HubOptions {
        &self.inner.options
    }

    /// The Hugging Face cache folder.
    #[must_use]
    pub fn cache_dir(&self) -> &Path {
        &self.inner.options.cache_dir
    }

    /// The model's page, for a person.
    #[must_use]
    pub fn page(&self, repo: &RepoId) -> String {
        format!("{}/{repo}", self.endpoint())
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.inner.options.endpoint.trim_end_matches('/')
    }

    pub(crate) fn api(&self) -> &HFClient {
        &self.inner.api
    }

    /// Without the token: hf-hub follows a list's next page to whatever host that names.
    pub(crate) fn anonymous(&self) -> &HFClient {
        &self.inner.anonymous
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// # Errors
    /// When offline mode is on.
    pub(crate) fn check_online(&self) -> Result<(), HubError> {
        if self.inner.options.offline { Err(HubError::Offline(self.endpoint().into())) } else { Ok(()) }
    }

    /// An address below the endpoint; each segment is escaped as a whole.
    pub(crate) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.inner.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A request with the token. Contents come as they are, so that their length and ranges are those of the file.
    pub(crate) fn get(&self, url: Url) -> reqwest::RequestBuilder {
        let request = self.inner.http.get(url).header(reqwest::header::ACCEPT_ENCODING, "identity");
        match &self.inner.options.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

fn endpoint(text: &str) -> Result<Url, HubError> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or_else(|| {
        HubError::Setting(format!("HF_ENDPOINT is {text}, which is no address like https://huggingface.co"))
    })
}

fn client(options: &HubOptions) -> Result<Client, HubError> {
    let mut builder = Client::builder()
        .user_agent(concat!("hearth/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::custom(follow))
        .no_proxy();
    let Proxies { https, http, all, none_for } = &options.proxies;
    let none_for = none_for.as_deref().and_then(NoProxy::from_string);
    let proxies = [(https, Proxy::https as fn(String) -> _), (http, Proxy::http), (all, Proxy::all)];
    for (address, proxy) in proxies.into_iter().filter_map(|(address, proxy)| Some((address.clone()?, proxy))) {
        let proxy =
            proxy(address.clone()).map_err(|_| HubError::Setting(format!("the proxy {address} is no address")))?;
        builder = builder.proxy(proxy.no_proxy(none_for.clone()));
    }
    builder.build().map_err(|error| HubError::Setting(format!("the network cannot be used: {error}")))
}

/// Contents lie at other addresses than the Hub's, but never at less protected ones.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let from_https = attempt.previous().iter().any(|url| url.scheme() == "https");
    if from_https && attempt.url().scheme() != "https" {
        return attempt.error("a redirect from https to http");
    }
    if attempt.previous().len() > MAX_REDIRECTS { attempt.error("too many redirects") } else { attempt.follow() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> HubOptions {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        HubOptions::from_env(get).unwrap()
    }

    #[test]
    fn settings_come_from_the_variables_of_hugging_faces_tools() {
        let options = options(&[
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_TOKEN", " hf_x\n"),
            ("HF_HOME", "/h"),
            ("HF_HUB_OFFLINE", "ON"),
            ("https_proxy", "http://proxy:1"),
            ("NO_PROXY", "localhost"),
        ]);
        assert_eq!(options.endpoint, "https://mirror.example/");
        assert_eq!((options.token.as_deref(), options.offline), (Some("hf_x"), true));
        assert_eq!(options.cache_dir, Path::new("/h/hub"));
        assert_eq!(options.proxies.https.as_deref(), Some("http://proxy:1"));
        assert_eq!(options.proxies.none_for.as_deref(), Some("localhost"));
        assert!(Hub::new(options).unwrap().check_online().unwrap_err().to_string().contains("HF_HUB_OFFLINE"));
    }

    #[test]
    fn a_token_may_lie_in_a_file() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
        let home = home.path().to_str().unwrap();
        assert_eq!(options(&[("HF_HOME", home)]).token.as_deref(), Some("hf_file"));
        assert_eq!(options(&[("HF_HOME", home), ("HF_TOKEN", "hf_env")]).token.as_deref(), Some("hf_env"));
        assert_eq!(options(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token, None);
    }

    #[test]
    fn what_is_no_address_is_named() {
        let message = |options| Hub::new(options).err().unwrap().to_string();
        assert!(message(HubOptions::new("ftp://x", "/c")).contains("HF_ENDPOINT is ftp://x"));
        let proxies = Proxies { all: Some("::".into()), ..Proxies::default() };
        assert!(message(HubOptions { proxies, ..HubOptions::new("http://x", "/c") }).contains("the proxy ::"));
    }

    #[test]
    fn addresses_escape_each_segment() {
        let hub = Hub::new(HubOptions::new("http://x/hf/", "/c")).unwrap();
        assert_eq!(hub.url(["a", "b c#?", "d/e"]).as_str(), "http://x/hf/a/b%20c%23%3F/d%2Fe");
    }
}
