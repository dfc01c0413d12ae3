//! The house rules that a script can check, over every Rust file of the workspace.
//!
//! Names and prose decay unnoticed, so the rules are a test, as in rustc's `tidy`:
//! vocabulary of comments, unique type names, file documentation, file sizes, bare
//! `bool` arguments, routes named in texts, the direction of dependencies, and import cycles. Each failure lists
//! the places and the remedy.

mod imports;
mod source;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use source::{Place, Source, sources};

/// Words that this project's comments overused in place of terms, and how many uses
/// in 10,000 words of comments are allowed.
const OVERUSED: [(&str, usize); 8] = [
    ("told", 6),
    ("tells", 3),
    ("whoever", 4),
    ("nobody", 4),
    ("somebody", 3),
    ("what is", 9),
    ("what was", 4),
    ("word", 2),
];

/// Type names that every crate may define for itself.
const SHARED_NAMES: [&str; 4] = ["Error", "Config", "Options", "Args"];

/// Production files outside of [`LINES`], each with the reason.
const ODD_SIZES: [(&str, &str); 9] = [
    ("services/api/src/followers.rs", "one table"),
    (
        "services/chassis/src/accept_language.rs",
        "one header field",
    ),
    (
        "services/notifications/src/config/webhooks.rs",
        "one section",
    ),
    ("services/products/src/config.rs", "one section"),
    ("services/orders/src/payments.rs", "an index of its modules"),
    ("services/users/src/domain.rs", "an index of its modules"),
    (
        "services/users/src/http/keys.rs",
        "the endpoints of one noun",
    ),
    ("src/allocator.rs", "one static and why it is so"),
    ("src/output.rs", "two macros and why they are so"),
];
/// Lines of a production file, tests within it not counted.
const LINES: std::ops::RangeInclusive<usize> = 40..=400;

/// The workspace's crates and which of each other they may depend on.
const DEPENDENCIES: [(&str, &[&str]); 15] = [
    ("api", &[]),
    ("model", &[]),
    ("search", &["model"]),
    ("pricing", &["model"]),
    ("store", &["model"]),
    ("mesh", &["model", "store"]),
    ("chassis", &["api", "mesh", "model", "store"]),
    ("users", &["api", "chassis", "mesh", "model", "store"]),
    (
        "products",
        &["api", "chassis", "mesh", "model", "search", "store"],
    ),
    (
        "orders",
        &["api", "chassis", "mesh", "model", "pricing", "store"],
    ),
    (
        "notifications",
        &["api", "chassis", "mesh", "model", "store"],
    ),
    ("gateway", &["api", "chassis", "mesh", "model"]),
    ("testkit", &["api", "chassis", "mesh", "model", "store"]),
    ("bench", &["mesh", "model", "store", "testkit"]),
    (
        "konbini",
        &[
            "chassis",
            "gateway",
            "mesh",
            "model",
            "notifications",
            "orders",
            "products",
            "store",
            "users",
        ],
    ),
];

#[test]
fn comments_use_the_terms_of_the_field() {
    let sources = sources();
    let comments: Vec<(&Source, String)> = sources
        .iter()
        .map(|source| (source, source.comments().to_lowercase()))
        .collect();
    let words: usize = comments
        .iter()
        .map(|(_, text)| text.split_whitespace().count())
        .sum();
    let mut report = String::new();
    for (phrase, allowed) in OVERUSED {
        // In search code a word is a word.
        let counted = comments
            .iter()
            .filter(|(source, _)| phrase != "word" || !source.path.contains("search"));
        let mut places: Vec<(usize, &str)> = counted
            .map(|(source, text)| (source::occurrences(text, phrase), source.path.as_str()))
            .filter(|(count, _)| *count > 0)
            .collect();
        places.sort_unstable_by(|a, b| b.cmp(a));
        let found: usize = places.iter().map(|(count, _)| count).sum();
        if found * 10_000 > allowed * words {
            let most = allowed * words / 10_000;
            writeln!(
                report,
                "{phrase:?} {found} times, at most {most}: {places:?}"
            )
            .unwrap();
        }
    }
    assert!(report.is_empty(), "say the term instead:\n{report}");
}

#[test]
fn type_names_are_defined_once() {
    let mut defined: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for source in sources().iter().filter(|source| source.is_production) {
        for (name, place) in source.type_names() {
            defined.entry(name).or_default().push(place);
        }
    }
    defined.retain(|name, places| places.len() > 1 && !SHARED_NAMES.contains(&name.as_str()));
    assert!(defined.is_empty(), "one name, one type: {defined:#?}");
}

#[test]
fn every_file_has_module_documentation() {
    let bare: Vec<String> = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert!(bare.is_empty(), "begin with `//!`: {bare:#?}");
}

#[test]
fn files_have_40_to_400_lines() {
    let odd: Vec<(String, usize)> = sources()
        .into_iter()
        .filter(|source| source.is_production)
        .map(|source| (source.path.clone(), source.production_lines()))
        .filter(|(path, lines)| {
            let is_entry = path.ends_with("/lib.rs")
                || path.ends_with("/main.rs")
                || path.ends_with("/build.rs");
            let is_small = *lines < *LINES.start() && !is_entry;
            let has_reason = ODD_SIZES.iter().any(|(odd, _)| odd == path);
            (is_small || *lines > *LINES.end()) && !has_reason
        })
        .collect();
    assert!(
        odd.is_empty(),
        "merge, split, or give a reason in ODD_SIZES: {odd:#?}"
    );
}

#[test]
fn calls_have_no_bare_bool_arguments() {
    let places: Vec<Place> = sources()
        .iter()
        .filter(|source| source.is_production)
        .flat_map(Source::bare_bools)
        .collect();
    assert!(
        places.is_empty(),
        "an enum or two functions instead: {places:#?}"
    );
}

#[test]
fn routes_in_texts_are_in_the_table() {
    let example = "POST /v1/users/me/email; GET /v1/orders/{id}.";
    assert_eq!(source::unknown_routes("x", example).len(), 1);
    let sources = sources().into_iter().filter(|source| source.is_production);
    let sources = sources.map(|source| (source.path, source.text));
    let documents = source::documents();
    let unknown: Vec<Place> = sources
        .chain(documents)
        .flat_map(|(path, text)| source::unknown_routes(&path, &text))
        .collect();
    assert!(
        unknown.is_empty(),
        "a message or a document names a route that there is not: {unknown:#?}"
    );
}

#[test]
fn crate_dependencies_have_one_direction() {
    let mut wrong = Vec::new();
    for (member, dependencies) in source::manifests() {
        let allowed = DEPENDENCIES.iter().find(|(known, _)| *known == member);
        let Some((_, allowed)) = allowed else {
            wrong.push(format!("{member} is not listed"));
            continue;
        };
        for dependency in dependencies {
            if !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{member} -> {dependency}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "ARCHITECTURE.md, \"Map\", forbids: {wrong:#?}"
    );
}

#[test]
fn imports_have_no_cycles() {
    let circles = imports::circles(&sources());
    assert!(
        circles.is_empty(),
        "move the shared part below both: {circles:#?}"
    );
}
