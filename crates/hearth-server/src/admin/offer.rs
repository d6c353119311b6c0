//! `/admin/v1/catalog`, `/search` and `/fit`: models that could be here.

use axum::{
    Json,
    extract::{Query, rejection::QueryRejection},
};
use hearth_core::Error;
use hearth_hub::search::{Search, Sort};
use serde::{Deserialize, Serialize};

use super::Admin;
use crate::{
    error::ApiError,
    library::{CatalogModel, RepoFit, SearchHit},
};

/// Models that a search finds where nobody says how many.
const FOUND: usize = 20;

/// `catalog` and `search`.
#[derive(Serialize)]
pub(crate) struct List<T> {
    models: Vec<T>,
}

/// What to look for.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    q: String,
    author: Option<String>,
    sort: Option<String>,
    limit: Option<usize>,
}

/// Whose fit.
#[derive(Deserialize)]
pub(crate) struct Whose {
    repo: String,
}

/// The models that Hearth recommends.
pub(crate) async fn catalog(admin: Admin) -> Json<List<CatalogModel>> {
    Json(List { models: admin.library().catalog().await })
}

/// Models on the Hub, of those that are made for MLX.
pub(crate) async fn search(
    admin: Admin,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<List<SearchHit>>, ApiError> {
    let Query(Wanted { q, author, sort: order, limit }) = wanted?;
    let search = Search {
        words: q,
        author,
        tags: vec!["mlx".to_owned()],
        sort: order.as_deref().map(sort).transpose()?.unwrap_or_default(),
        limit: limit.unwrap_or(FOUND),
    };
    Ok(Json(List { models: admin.library().search(&search).await? }))
}

/// How a repository's model would fit this machine.
pub(crate) async fn fit(admin: Admin, whose: Result<Query<Whose>, QueryRejection>) -> Result<Json<RepoFit>, ApiError> {
    let Query(Whose { repo }) = whose?;
    Ok(Json(admin.library().fit_of(&repo).await?))
}

fn sort(name: &str) -> Result<Sort, Error> {
    match name {
        "trending" => Ok(Sort::Trending),
        "downloads" => Ok(Sort::Downloads),
        "likes" => Ok(Sort::Likes),
        "updated" => Ok(Sort::Updated),
        _ => Err(Error::invalid("sort", "sort must be trending, downloads, likes or updated.")),
    }
}
