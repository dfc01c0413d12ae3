//! The workspace's Rust files as the rules see them.

use std::fs;
use std::path::{Path, PathBuf};

/// A file and a line.
pub(super) type Place = String;

/// Constructors, and methods of other crates that take a `bool`.
const FOREIGN_CALLS: [&str; 30] = [
    "Ok",
    "Err",
    "Some",
    "Value::Bool",
    "AtomicBool::new",
    "watch::channel",
    "store",
    "swap",
    "unwrap_or",
    "set_nodelay",
    "set_nonblocking",
    "set_reuseaddr",
    "set_fieldnorms",
    "append",
    "create",
    "create_new",
    "read",
    "write",
    "truncate",
    "recursive",
    "history",
    "keep_alive",
    "with_target",
    "with_ansi",
    "XzReader::new_mem_limit",
    "FuzzyTermQuery::new",
    "FuzzyTermQuery::new_prefix",
    "flatten_event",
    "retry_canceled_requests",
    "disable_help_subcommand",
];

/// The methods of routes.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A Rust file.
pub(super) struct Source {
    /// From the workspace's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// Whether it is production code, bench included.
    pub(super) is_production: bool,
}

/// Every Rust file of the workspace, in the order of paths.
pub(super) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [
        "src", "tests", "benches", "mesh", "services", "gateway", "bench", "fuzz",
    ] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    let sources: Vec<Source> = files
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(root).expect("below the root");
            let path = path.to_str().expect("UTF-8").replace('\\', "/");
            let is_test = ["/tests/", "/benches/", "/examples/", "tests.rs"];
            let outside = path.starts_with("tests/")
                || path.starts_with("benches/")
                || path.starts_with("fuzz/")
                || path.starts_with("services/testkit/")
                || is_test.iter().any(|mark| path.contains(mark));
            let text = fs::read_to_string(&file).expect("a readable file");
            Source { path, text, is_production: !outside }
        })
        .collect();
    assert!(sources.len() > 200, "the workspace was not found");
    sources
}

/// The documents for readers of the project, with their texts.
pub(super) fn documents() -> impl Iterator<Item = (String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "systemd/README.md",
    ];
    names.into_iter().map(move |name| {
        let text = fs::read_to_string(root.join(name)).expect("a readable file");
        (name.to_owned(), text)
    })
}

/// The routes that a text names, such as `POST /v1/orders`, and that are no rows of the table.
/// A path ends before the first sign that no row has.
pub(super) fn unknown_routes(path: &str, text: &str) -> Vec<Place> {
    let mut unknown = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        for (at, _) in line.match_indices(" /v1/") {
            let method = line[..at]
                .rsplit(|sign: char| !sign.is_ascii_uppercase())
                .next();
            let named = &line[at + 1..];
            let is_end = |sign: char| !(sign.is_ascii_alphanumeric() || "/{}_-.".contains(sign));
            let end = named.find(is_end).unwrap_or(named.len());
            // A query or the rest of a path that is made follows.
            let is_whole = !named[end..].starts_with(['\u{2026}', '$', '%']);
            let named = named[..end].trim_end_matches(['.', '/']);
            let is_known =
                |row: &&api::Route| Some(row.method.as_str()) == method && row.path == named;
            let is_method = method.is_some_and(|method| METHODS.contains(&method));
            if is_method && is_whole && !api::ROUTES.iter().any(is_known) {
                unknown.push(format!(
                    "{path}:{number}: {} {named}",
                    method.unwrap_or_default()
                ));
            }
        }
    }
    unknown
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Each member's name and its dependencies within the workspace, tests' not included.
pub(super) fn manifests() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(path).expect("a readable manifest");
        text.parse::<toml::Table>().expect("a manifest")
    };
    let workspace = read(root.join("Cargo.toml"));
    let table = workspace["workspace"]["dependencies"]
        .as_table()
        .expect("a table");
    let members: Vec<(&String, &str)> = table
        .iter()
        .filter_map(|(name, dependency)| Some((name, dependency.get("path")?.as_str()?)))
        .collect();
    let all = members
        .iter()
        .map(|(name, path)| ((*name).clone(), root.join(path)));
    let others = [
        ("bench".to_owned(), root.join("bench")),
        ("konbini".to_owned(), root.into()),
    ];
    all.chain(others)
        .map(|(name, folder)| {
            let manifest = read(folder.join("Cargo.toml"));
            let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
            let inner = dependencies.into_iter().flat_map(|table| table.keys());
            let inner = inner.filter(|name| members.iter().any(|(member, _)| member == name));
            (name, inner.cloned().collect())
        })
        .collect()
}

/// How often a phrase stands in a text as whole words.
pub(super) fn occurrences(text: &str, phrase: &str) -> usize {
    let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    text.match_indices(phrase)
        .filter(|(start, _)| {
            let (before, after) = (&text[..*start], &text[start + phrase.len()..]);
            !is_letter(before.chars().next_back()) && !is_letter(after.chars().next())
        })
        .count()
}

impl Source {
    /// The text of its comments, a line each.
    pub(super) fn comments(&self) -> String {
        let lines = self
            .text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("//"));
        lines
            .map(|line| line.trim_start_matches(['/', '!']))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Its lines without those of test modules, numbered from 1.
    fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_test = |index: usize| lines.get(index) == Some(&"#[cfg(test)]");
        let opens = |index: usize| lines.get(index + 1).is_some_and(|next| next.ends_with('{'));
        let end = (0..lines.len()).find(|index| is_test(*index) && opens(*index));
        let end = end.unwrap_or(lines.len());
        let kept =
            (0..end).filter(|index| !is_test(*index) && (*index == 0 || !is_test(*index - 1)));
        kept.map(|index| (index + 1, lines[index]))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// How many lines that are.
    pub(super) fn production_lines(&self) -> usize {
        self.production().count()
    }

    /// Its production code without comments.
    pub(super) fn code(&self) -> String {
        let code = self
            .production()
            .filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.map(|(_, line)| line).collect::<Vec<_>>().join("\n")
    }

    /// The types it defines for more than itself.
    pub(super) fn type_names(&self) -> Vec<(String, Place)> {
        let mut names = Vec::new();
        for (number, line) in self.production() {
            let Some(rest) = line.trim_start().strip_prefix("pub") else {
                continue;
            };
            let rest = match rest.strip_prefix('(') {
                Some(scope) if scope.starts_with("crate)") => &scope["crate)".len()..],
                Some(_) => continue,
                None => rest,
            };
            let mut words = rest.split_whitespace();
            let is_type = matches!(words.next(), Some("struct" | "enum" | "trait" | "type"));
            let name = words
                .next()
                .filter(|_| is_type && !line.starts_with("    "))
                .map(|name| {
                    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
                    name[..end.unwrap_or(name.len())].to_owned()
                });
            names.extend(name.map(|name| (name, format!("{}:{number}", self.path))));
        }
        names
    }

    /// Calls of our own functions with `true` or `false` among their arguments.
    pub(super) fn bare_bools(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (number, line) in self.production() {
            let line = line.trim();
            if line.starts_with("//") {
                continue;
            }
            let values = ["true", "false"]
                .iter()
                .flat_map(|value| line.match_indices(value));
            let found = values.into_iter().any(|(start, value)| {
                let after = line[start + value.len()..].trim_start();
                let before = line[..start].trim_end();
                let is_argument = before.ends_with(['(', ',']) && after.starts_with([',', ')']);
                is_argument && callee(before).is_some_and(|callee| !FOREIGN_CALLS.contains(&callee))
            });
            if found {
                places.push(format!("{}:{number}: {line}", self.path));
            }
        }
        places
    }
}

/// The function that an argument is passed to, by the text `before` it on its line; `None`
/// for a tuple.
fn callee(before: &str) -> Option<&str> {
    let mut depth = 0;
    let open = before.char_indices().rev().find(|(_, letter)| {
        match letter {
            ')' => depth += 1,
            '(' => depth -= 1,
            _ => {}
        }
        depth < 0
    })?;
    let head = &before[..open.0];
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let start = head
        .rfind(|letter| !is_name(letter))
        .map_or(0, |index| index + 1);
    Some(&head[start..]).filter(|name| !name.is_empty())
}
