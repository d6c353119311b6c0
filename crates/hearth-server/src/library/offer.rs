//! Models that could be here: those that Hearth recommends, those that the Hub finds, and how each would fit.

use hearth_hub::{
    catalog::{self, Capability, Format},
    files::Revision,
    fit::{Fit, Machine, Needs, fit},
    manifest::Manifest,
    search::{Found, Search},
};
use serde::Serialize;

use super::{Library, LibraryError, Result, lock};

/// A recommended model, in the formats in which it can be had.
#[derive(Debug, Clone, Serialize)]
pub struct CatalogModel {
    /// Its name in the catalog.
    pub id: &'static str,
    /// The repository of its smallest variant.
    pub repo: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Whose relatives they are.
    pub family: &'static str,
    /// Numbers that were learned.
    pub parameters: u64,
    /// As many as are at work for a token.
    pub active_parameters: u64,
    /// Its licence.
    pub licence: &'static str,
    /// What it can do.
    pub capabilities: &'static [Capability],
    /// Tokens that it was made for.
    pub context_length: Option<usize>,
    /// What it is good for.
    pub description: &'static str,
    /// Whether this build runs its architecture; else it is still to come.
    pub runs: bool,
    /// Its formats, smallest first.
    pub variants: Vec<CatalogVariant>,
}

/// A recommended model in one format.
#[derive(Debug, Clone, Serialize)]
pub struct CatalogVariant {
    /// The repository.
    pub repo: &'static str,
    /// Bits of most weights.
    pub bits: u8,
    /// Bytes of its weights.
    pub bytes: u64,
    /// Whether the bytes were reckoned, not looked up.
    pub estimated: bool,
    /// Whether it is here, ready to be used.
    pub installed: bool,
    /// How it fits this machine.
    pub fit: Option<Fit>,
}

/// A model that the Hub has found.
#[derive(Debug, Clone, Serialize)]
pub struct SearchHit {
    /// What the Hub says of it.
    #[serde(flatten)]
    pub found: Found,
    /// Whether it is here, ready to be used.
    pub installed: bool,
}

/// How a repository would fit this machine.
#[derive(Debug, Clone, Serialize)]
pub struct RepoFit {
    /// The repository.
    pub repo: String,
    /// Bytes of what there is to download.
    pub bytes: u64,
    /// The architecture that it names.
    pub model_type: Option<String>,
    /// Whether this build runs that.
    pub runs: bool,
    /// How it fits.
    pub fit: Fit,
}

impl Library {
    /// The models that Hearth recommends, smallest first. Needs no network.
    pub async fn catalog(&self) -> Vec<CatalogModel> {
        let machine = self.machine().await;
        catalog::models().iter().filter_map(|model| self.recommended(model, &machine)).collect()
    }

    /// Looks for models on the Hub.
    ///
    /// # Errors
    /// When the Hub does not answer.
    pub async fn search(&self, search: &Search) -> Result<Vec<SearchHit>> {
        let found = self.hub().in_a_hurry().search(search).await?;
        let hit = |found: Found| SearchHit { installed: self.is_installed(&found.repo), found };
        Ok(found.into_iter().map(hit).collect())
    }

    /// How a repository's model would fit this machine: only its list of files and its `config.json` are fetched.
    ///
    /// # Errors
    /// When the Hub does not answer, or the configuration says too little.
    pub async fn fit_of(&self, repo: &str) -> Result<RepoFit> {
        let hub = self.hub().in_a_hurry();
        let manifest = hub.manifest(&repo.parse()?, &Revision::main()).await?;
        let config = hub.config(&manifest).await?;
        let needs = Needs::new(&config, weights(&manifest), None).map_err(LibraryError::Config)?;
        let model_type = config["model_type"].as_str().map(str::to_owned);
        Ok(RepoFit {
            repo: manifest.repo.to_string(),
            bytes: manifest.bytes(),
            runs: model_type.as_deref().is_some_and(|name| self.knows(name)),
            model_type,
            fit: fit(&needs, &self.machine().await),
        })
    }

    fn recommended(&self, model: &'static catalog::Model, machine: &Machine) -> Option<CatalogModel> {
        let needs = |variant| model.needs(variant, None).ok();
        let variant = |variant: &'static catalog::Variant| CatalogVariant {
            repo: &variant.repo,
            bits: match variant.format {
                Format::Four | Format::Mixed => 4,
                Format::Eight => 8,
            },
            bytes: variant.bytes,
            estimated: variant.estimated,
            installed: self.is_installed(&variant.repo),
            fit: needs(variant).map(|needs| fit(&needs, machine)),
        };
        let first = model.variants.first()?;
        Some(CatalogModel {
            id: &model.id,
            repo: &first.repo,
            name: &model.name,
            family: &model.family,
            parameters: model.parameters,
            active_parameters: model.active_parameters,
            licence: &model.licence,
            capabilities: &model.capabilities,
            context_length: needs(first).map(|needs| needs.context),
            description: &model.description,
            runs: self.knows(model.model_type()),
            variants: model.variants.iter().map(variant).collect(),
        })
    }

    fn is_installed(&self, repo: &str) -> bool {
        let is_it = |other: &Option<String>| other.as_deref().is_some_and(|other| other.eq_ignore_ascii_case(repo));
        let found = lock(&self.inner.found);
        found
            .iter()
            .any(|found| is_it(&found.installed.repo) && found.installed.state == hearth_hub::scan::State::Ready)
    }
}

/// Bytes of the files with the weights: their headers count little.
fn weights(manifest: &Manifest) -> Option<u64> {
    let weights = manifest.files.iter().filter(|file| file.name.as_str().ends_with(".safetensors"));
    Some(weights.map(|file| file.size).sum()).filter(|bytes| *bytes > 0)
}
