//! Cargo manifests: each dependency is declared once, in the workspace's table, and each crate follows its lints.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use toml::Table;

use crate::workspace::Workspace;

#[derive(Default)]
pub(super) struct Manifests {
    /// Names in `[workspace.dependencies]`.
    pub(super) declared: Vec<String>,
    pub(super) members: Vec<Member>,
}

#[derive(Default)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) inherits_lints: bool,
}

pub(super) struct Dependency {
    /// As the manifest names it.
    pub(super) name: String,
    /// Whether it says `workspace = true`.
    pub(super) inherited: bool,
}

impl Dependency {
    #[cfg(test)]
    pub(super) fn inherited(name: &str) -> Self {
        Self { name: name.into(), inherited: true }
    }
}

pub(super) fn read(workspace: &Workspace) -> Result<Manifests> {
    let metadata = workspace.metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let path = |package: &Value| package["manifest_path"].as_str().map(str::to_owned).context("a package without path");
    let members = packages.iter().map(|package| member(&table(Path::new(&path(package)?))?));
    let root = table(&workspace.root.join("Cargo.toml"))?;
    let declared = root.get("workspace").and_then(|w| w.get("dependencies")).and_then(toml::Value::as_table);
    Ok(Manifests {
        declared: declared.map(|table| table.keys().cloned().collect()).unwrap_or_default(),
        members: members.collect::<Result<_>>()?,
    })
}

fn table(path: &Path) -> Result<Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not TOML", path.display()))
}

fn member(manifest: &Table) -> Result<Member> {
    let name = manifest.get("package").and_then(|p| p.get("name")).and_then(toml::Value::as_str);
    let platforms = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(manifest).chain(platforms.filter_map(toml::Value::as_table));
    Ok(Member {
        name: name.context("a manifest without a package name")?.to_owned(),
        dependencies: tables.flat_map(dependencies).collect(),
        inherits_lints: manifest.get("lints").is_some_and(is_inherited),
    })
}

fn dependencies(table: &Table) -> impl Iterator<Item = Dependency> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = kinds.into_iter().filter_map(|kind| table.get(kind).and_then(toml::Value::as_table));
    tables.flatten().map(|(name, value)| Dependency { name: name.clone(), inherited: is_inherited(value) })
}

fn is_inherited(value: &toml::Value) -> bool {
    value.get("workspace").and_then(toml::Value::as_bool) == Some(true)
}

pub(super) fn check(manifests: &Manifests) -> Vec<String> {
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for member in &manifests.members {
        let name = &member.name;
        if !member.inherits_lints {
            faults.push(format!("{name}: add `[lints] workspace = true` to its Cargo.toml"));
        }
        for dependency in &member.dependencies {
            used.insert(&dependency.name);
            if !dependency.inherited {
                let culprit = &dependency.name;
                faults.push(format!(
                    "{name}: declare {culprit} in the root Cargo.toml, and say `{culprit}.workspace = true`"
                ));
            }
        }
    }
    let unused = manifests.declared.iter().filter(|name| !used.contains(name));
    faults.extend(
        unused.map(|name| format!("Cargo.toml: no crate uses {name}; remove it from [workspace.dependencies]")),
    );
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> Member {
        member(&text.parse().expect("TOML")).expect("a manifest")
    }

    fn faults(declared: &[&str], members: Vec<Member>) -> Vec<String> {
        check(&Manifests { declared: declared.iter().map(|&name| name.into()).collect(), members })
    }

    const GOOD: &str = "
        package.name = 'a'
        lints.workspace = true
        dependencies.serde.workspace = true
        dev-dependencies.tempfile = { workspace = true, features = ['x'] }
        [target.'cfg(unix)'.dependencies]
        nix.workspace = true
    ";

    #[test]
    fn inherited_dependencies_of_every_kind_pass() {
        assert!(faults(&["nix", "serde", "tempfile"], vec![read_one(GOOD)]).is_empty());
    }

    #[test]
    fn a_version_outside_the_workspace_table_is_named() {
        let own = GOOD.replace("nix.workspace = true", "nix = '0.30'");
        let found = faults(&["serde", "tempfile"], vec![read_one(&own)]);
        assert_eq!(found, ["a: declare nix in the root Cargo.toml, and say `nix.workspace = true`"]);
    }

    #[test]
    fn a_declaration_that_nobody_uses_is_named() {
        let found = faults(&["nix", "rand", "serde", "tempfile"], vec![read_one(GOOD)]);
        assert_eq!(found, ["Cargo.toml: no crate uses rand; remove it from [workspace.dependencies]"]);
    }

    #[test]
    fn a_crate_with_lints_of_its_own_is_named() {
        let found = faults(&[], vec![read_one("package.name = 'a'")]);
        assert_eq!(found, ["a: add `[lints] workspace = true` to its Cargo.toml"]);
    }
}
