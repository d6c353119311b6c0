//! Live search on the Hub: by words, owner and tags.

use std::pin::pin;

use futures_util::TryStreamExt;
use hf_hub::HFError;
use hf_hub::repository::ModelInfo;
use serde::Serialize;

use crate::error::HubError;
use crate::files::RepoId;
use crate::registry::Hub;
use crate::retry::{Trouble, retry};

/// The most that one search finds.
const MAX_FOUND: usize = 100;
/// The Hub filters by one tag; the others are looked for among so many models at most.
const MAX_SCANNED: usize = 1000;

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Words of the name.
    pub words: String,
    /// Whose models.
    pub author: Option<String>,
    /// Tags that all have to be there, such as `mlx`, `text-generation`, `license:apache-2.0`.
    pub tags: Vec<String>,
    /// What comes first.
    pub sort: Sort,
    /// How many, at most 100.
    pub limit: usize,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default)]
pub enum Sort {
    /// Most talked about now.
    #[default]
    Trending,
    /// Most downloads in a month.
    Downloads,
    /// Most likes.
    Likes,
    /// Changed last.
    Updated,
}

/// One model that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// `owner/name`.
    pub repo: String,
    /// In the last month.
    pub downloads: u64,
    /// From people.
    pub likes: u64,
    /// The Hub's and the owner's.
    pub tags: Vec<String>,
    /// Terms have to be accepted first.
    pub gated: bool,
    /// When it last changed, as ISO 8601.
    pub updated: Option<String>,
}

impl Hub {
    /// Models that fit, the first in order first. Names that cannot be downloaded are left out.
    ///
    /// # Errors
    /// When the Hub does not answer.
    pub async fn search(&self, search: &Search) -> Result<Vec<Found>, HubError> {
        self.check_online()?;
        retry(self, || self.search_once(search)).await
    }

    async fn search_once(&self, search: &Search) -> Result<Vec<Found>, Trouble> {
        let limit = search.limit.clamp(1, MAX_FOUND);
        let words = search.words.trim();
        let models = self.anonymous().list_models();
        let models = models
            .maybe_search((!words.is_empty()).then_some(words))
            .maybe_author(search.author.as_deref())
            .maybe_filter(search.tags.first().map(String::as_str))
            .sort(search.sort.field())
            .full(true)
            .limit(if search.tags.len() > 1 { MAX_SCANNED } else { limit })
            .send();
        let mut models = pin!(models.map_err(|error| self.search_trouble(error))?);
        let mut found = Vec::new();
        while let Some(model) = models.try_next().await.map_err(|error| self.search_trouble(error))? {
            found.extend(Found::new(model).filter(|model| search.tags.iter().all(|tag| model.tags.contains(tag))));
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }
}

impl Hub {
    fn search_trouble(&self, error: HFError) -> Trouble {
        let context = match error {
            HFError::Request { source, .. } => return source.into(),
            HFError::Http { context } => context,
            other => return HubError::Answer(other.to_string()).into(),
        };
        match context.status.as_u16() {
            401 => HubError::Token(self.endpoint().into()).into(),
            status @ (429 | 500..=599) => Trouble::passing(format!("status {status}")),
            status => HubError::Answer(format!("status {status} for a search")).into(),
        }
    }
}

impl Sort {
    fn field(self) -> &'static str {
        match self {
            Self::Trending => "trendingScore",
            Self::Downloads => "downloads",
            Self::Likes => "likes",
            Self::Updated => "lastModified",
        }
    }
}

impl Found {
    fn new(model: ModelInfo) -> Option<Self> {
        let repo: RepoId = model.id.parse().ok()?;
        Some(Self {
            repo: repo.to_string(),
            downloads: model.downloads.unwrap_or(0),
            likes: model.likes.unwrap_or(0),
            tags: model.tags.unwrap_or_default(),
            gated: model.gated.is_some_and(|gated| gated != false),
            updated: model.last_modified,
        })
    }
}
