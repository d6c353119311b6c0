//! Who may depend on whom: the picture in ARCHITECTURE.md as a table.
//!
//! Direct dependencies of every kind count, those of tests and of single platforms too.

use super::manifests::{Manifests, Member};

/// One crate of ours: which of ours it may name, and which of others' it must not.
struct Rule {
    name: &'static str,
    may_use: &'static [&'static str],
    must_not_use: &'static [&'static [&'static str]],
}

const MLX: &[&str] = &["mlx-rs", "mlx-sys", "mlx-macros", "mlx-internal-macros"];
const RUNTIME: &[&str] = &["tokio", "tokio-util", "tokio-stream", "async-std", "smol"];
const SERVER: &[&str] = &["axum", "axum-core", "axum-extra", "hyper", "hyper-util", "tower-http"];
const CLIENT: &[&str] = &["reqwest", "hf-hub", "ureq", "hyper", "hyper-util"];
const SQL: &[&str] = &["sqlx", "rusqlite", "libsqlite3-sys"];
const CLOCK: &[&str] = &["chrono", "jiff", "time"];
const TOKENIZERS: &[&str] = &["tokenizers"];
const TAURI: &[&str] = &["tauri", "tauri-build", "wry", "tao"];

const RULES: &[Rule] = &[
    Rule { name: "hearth-core", may_use: &[], must_not_use: &[RUNTIME, SERVER, CLIENT, MLX, SQL, TAURI] },
    Rule {
        name: "hearth-text",
        may_use: &["hearth-core"],
        must_not_use: &[RUNTIME, SERVER, CLIENT, CLOCK, MLX, SQL, TAURI],
    },
    Rule {
        name: "hearth-mlx",
        may_use: &["hearth-core"],
        must_not_use: &[RUNTIME, SERVER, CLIENT, SQL, TOKENIZERS, TAURI],
    },
    Rule {
        name: "hearth-engine",
        may_use: &["hearth-core", "hearth-text"],
        must_not_use: &[SERVER, CLIENT, MLX, SQL, TAURI],
    },
    Rule {
        name: "hearth-hub",
        may_use: &["hearth-core", "hearth-test-hub"],
        must_not_use: &[SERVER_ONLY, MLX, SQL, TAURI],
    },
    Rule { name: "hearth-store", may_use: &[], must_not_use: &[SERVER, CLIENT, MLX, TAURI] },
    Rule {
        name: "hearth-server",
        may_use: &["hearth-core", "hearth-engine", "hearth-hub", "hearth-store", "hearth-test-hub"],
        must_not_use: &[CLIENT_ONLY, MLX, SQL, TAURI],
    },
    Rule {
        name: "hearth",
        may_use: &[
            "hearth-core",
            "hearth-text",
            "hearth-mlx",
            "hearth-engine",
            "hearth-hub",
            "hearth-store",
            "hearth-server",
        ],
        must_not_use: &[MLX, SQL, TAURI],
    },
    Rule { name: "hearth-app", may_use: &["hearth"], must_not_use: &[MLX, SQL] },
    // xtask is built before set-up, when nothing that links MLX can be.
    Rule { name: "xtask", may_use: &[], must_not_use: &[MLX, TAURI] },
    Rule { name: "hearth-tests", may_use: &["hearth", "hearth-core", "hearth-test-hub"], must_not_use: &[MLX] },
    Rule { name: "hearth-test-hub", may_use: &[], must_not_use: &[CLIENT_ONLY, MLX, SQL, TAURI] },
];

/// The hub may use hyper as a client, and the server as a server.
const SERVER_ONLY: &[&str] = &["axum", "axum-core", "axum-extra", "tower-http"];
const CLIENT_ONLY: &[&str] = &["reqwest", "hf-hub", "ureq"];

pub(super) fn check(manifests: &Manifests) -> Vec<String> {
    let ours: Vec<&str> = manifests.members.iter().map(|member| member.name.as_str()).collect();
    manifests.members.iter().flat_map(|member| check_member(member, &ours)).collect()
}

fn check_member(member: &Member, ours: &[&str]) -> Vec<String> {
    let name = &member.name;
    let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
        return vec![format!(
            "{name}: a crate that xtask's tidy/edges.rs has no rule for; add one, and the picture's line"
        )];
    };
    let mut faults = Vec::new();
    for dependency in member.dependencies.iter().map(|dependency| dependency.name.as_str()) {
        if ours.contains(&dependency) && !rule.may_use.contains(&dependency) && dependency != name {
            faults.push(format!("{name}: must not depend on {dependency}; the crates' picture has no such edge"));
        }
        if rule.must_not_use.iter().any(|family| family.contains(&dependency)) {
            faults.push(format!("{name}: must never depend on {dependency}; see the table of crates for who may"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::manifests::Dependency;
    use super::*;

    fn faults(edges: &[(&str, &[&str])]) -> Vec<String> {
        let member = |(name, dependencies): &(&str, &[&str])| Member {
            name: (*name).into(),
            dependencies: dependencies.iter().map(|name| Dependency::inherited(name)).collect(),
            ..Member::default()
        };
        check(&Manifests { members: edges.iter().map(member).collect(), ..Manifests::default() })
    }

    #[test]
    fn an_edge_of_the_picture_passes() {
        assert!(faults(&[("hearth-core", &["serde"]), ("hearth-mlx", &["hearth-core", "mlx-rs"])]).is_empty());
        assert!(faults(&[("hearth-hub", &["reqwest"]), ("hearth-server", &["axum", "hearth-hub"])]).is_empty());
    }

    #[test]
    fn an_edge_between_our_crates_that_the_picture_lacks_is_named() {
        let found = faults(&[("hearth-mlx", &[]), ("hearth-engine", &["hearth-mlx"])]);
        assert_eq!(found, ["hearth-engine: must not depend on hearth-mlx; the crates' picture has no such edge"]);
    }

    #[test]
    fn a_forbidden_crate_of_others_is_named() {
        let found = faults(&[("hearth-text", &["tokio", "serde"])]);
        assert_eq!(found, ["hearth-text: must never depend on tokio; see the table of crates for who may"]);
        assert_eq!(faults(&[("hearth", &["tauri"])]).len(), 1);
        assert_eq!(faults(&[("hearth-server", &["mlx-rs", "sqlx"])]).len(), 2);
    }

    #[test]
    fn the_app_sees_the_facade_alone() {
        let ours: &[(&str, &[&str])] = &[("hearth", &[]), ("hearth-server", &[])];
        assert!(faults(&[ours, &[("hearth-app", &["hearth", "tauri"])]].concat()).is_empty());
        assert_eq!(faults(&[ours, &[("hearth-app", &["hearth-server"])]].concat()).len(), 1);
    }

    #[test]
    fn a_new_crate_needs_a_rule() {
        assert!(faults(&[("hearth-util", &[])])[0].starts_with("hearth-util: a crate that"));
    }

    #[test]
    fn every_rule_names_crates_that_have_rules() {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert!(RULES.iter().flat_map(|rule| rule.may_use).all(|name| known.contains(name)));
    }
}
