//! Which file of a crate imports which, and the circles among them.
//!
//! An import is a path that begins with `crate`, `super`, `self` or a child module, in
//! production code. It leads to the file that defines the name: re-exports are followed,
//! and are no imports themselves. What a module takes from one it lies in does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// A module: the crate's folder and the path below it.
type Module = (String, Vec<String>);

struct File {
    path: String,
    module: Module,
    children: BTreeSet<String>,
    /// Paths as written, `use` declarations flattened.
    imports: Vec<Vec<String>>,
    /// Names that are re-exported, with the path of each.
    reexports: BTreeMap<String, Vec<String>>,
}

/// The files of each circle of imports, with what ties it.
pub(super) fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let files: Vec<File> = sources
        .iter()
        .filter(|source| source.is_production)
        .filter_map(File::read)
        .collect();
    let by_module: BTreeMap<&Module, usize> = files
        .iter()
        .enumerate()
        .map(|(index, file)| (&file.module, index))
        .collect();
    let mut arrows: Vec<BTreeMap<usize, &[String]>> = Vec::new();
    for file in &files {
        let mut targets = BTreeMap::new();
        for import in &file.imports {
            if let Some(target) = resolve(&files, &by_module, file, import, 8)
                && !is_within(&file.module, &files[target].module)
            {
                targets.insert(target, import.as_slice());
            }
        }
        arrows.push(targets);
    }
    let reachable: Vec<BTreeSet<usize>> =
        (0..files.len()).map(|from| reach(&arrows, from)).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for from in 0..files.len() {
        let together = reachable[from]
            .iter()
            .filter(|to| reachable[**to].contains(&from));
        let circle: BTreeSet<usize> = together.copied().collect();
        if circle.is_empty() || !seen.insert(circle.clone()) {
            continue;
        }
        let ties = circle.iter().flat_map(|from| {
            let within = arrows[*from].iter().filter(|(to, _)| circle.contains(to));
            within.map(|(to, path)| {
                format!(
                    "{} -> {} ({})",
                    files[*from].path,
                    files[*to].path,
                    path.join("::")
                )
            })
        });
        circles.push(ties.collect());
    }
    circles
}

/// Whether a module is the other, or lies below it: a module's parts may use what it
/// defines for them.
fn is_within((root, module): &Module, (other_root, other): &Module) -> bool {
    root == other_root && module.starts_with(other)
}

/// Every file that can be reached by at least one arrow.
fn reach(arrows: &[BTreeMap<usize, &[String]>], from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        next.extend(arrows[file].keys().filter(|to| reached.insert(**to)));
    }
    reached
}

/// The file that defines what `import` of `file` names.
fn resolve(
    files: &[File],
    by_module: &BTreeMap<&Module, usize>,
    file: &File,
    import: &[String],
    depth_left: usize,
) -> Option<usize> {
    let (root, own) = &file.module;
    let mut path = own.clone();
    let mut rest = import;
    match rest.first()?.as_str() {
        "crate" => {
            path.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        _ => {}
    }
    while rest.first().is_some_and(|segment| segment == "super") {
        path.pop()?;
        rest = &rest[1..];
    }
    while let Some(segment) = rest.first() {
        path.push(segment.clone());
        if !by_module.contains_key(&(root.clone(), path.clone())) {
            path.pop();
            break;
        }
        rest = &rest[1..];
    }
    let found = *by_module.get(&(root.clone(), path))?;
    let target = &files[found];
    match rest.first().and_then(|name| target.reexports.get(name)) {
        Some(original) if depth_left > 0 => {
            let further: Vec<String> = original.iter().chain(&rest[1..]).cloned().collect();
            resolve(files, by_module, target, &further, depth_left - 1)
        }
        _ => Some(found),
    }
}

impl File {
    /// `None` for a build script, which is no module.
    fn read(source: &Source) -> Option<Self> {
        let (root, below) = match source.path.strip_prefix("src/") {
            Some(below) => ("", below),
            None => source.path.split_once("/src/")?,
        };
        let stem = below.strip_suffix(".rs")?;
        let mut module: Vec<String> = stem.split('/').map(str::to_owned).collect();
        if module
            .last()
            .is_some_and(|last| matches!(last.as_str(), "lib" | "main" | "mod"))
        {
            module.pop();
        }
        let code = source.code();
        let children = statements(&code, "mod ")
            .map(|child| child.trim().to_owned())
            .collect();
        let mut file = Self {
            path: source.path.clone(),
            module: (root.to_owned(), module),
            children,
            imports: Vec::new(),
            reexports: BTreeMap::new(),
        };
        let mut inline = code.clone();
        for (is_public, tree) in uses(&code) {
            inline = inline.replace(&format!("use {tree};"), "");
            for (path, name) in flatten(&tree) {
                if is_public {
                    file.reexports.insert(name, path);
                } else if file.leads_inside(&path) {
                    file.imports.push(path);
                }
            }
        }
        for path in paths(&inline) {
            if file.leads_inside(&path) {
                file.imports.push(path);
            }
        }
        Some(file)
    }

    fn leads_inside(&self, path: &[String]) -> bool {
        let first = path.first().map(String::as_str).unwrap_or_default();
        matches!(first, "crate" | "super" | "self")
            || path.len() > 1 && self.children.contains(first)
    }
}

/// What follows `keyword` up to the semicolon, for each statement that begins so.
fn statements<'a>(code: &'a str, keyword: &'static str) -> impl Iterator<Item = &'a str> {
    code.lines().filter_map(move |line| {
        let line = line
            .trim_start()
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ");
        line.strip_prefix(keyword)?.strip_suffix(';')
    })
}

/// The trees of all `use` declarations, and whether each re-exports.
fn uses(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find("use ") {
        let before = rest[..start].rsplit('\n').next().unwrap_or_default().trim();
        let after = &rest[start + "use ".len()..];
        let at_start = rest[..start].is_empty() || rest[..start].ends_with(['\n', ' ']);
        let is_public = before.starts_with("pub");
        if at_start && (before.is_empty() || is_public) {
            let end = after.find(';').unwrap_or(after.len());
            found.push((is_public, after[..end].to_owned()));
            rest = &after[end..];
        } else {
            rest = after;
        }
    }
    found
}

/// The paths of a `use` tree, each with the name it brings into scope.
fn flatten(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut path: Vec<String> = path
            .split("::")
            .map(|part| part.trim().to_owned())
            .collect();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = if alias.is_empty() {
            path.last().cloned().unwrap_or_default()
        } else {
            alias.trim().to_owned()
        };
        return vec![(path, name)];
    };
    let prefix = tree[..open].trim_end_matches("::").trim();
    let inner = tree[open + 1..].trim_end().trim_end_matches('}');
    let mut flat = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (index, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[start..index].trim();
                start = index + 1;
                if part.is_empty() {
                    continue;
                }
                let whole = if prefix.is_empty() {
                    part.to_owned()
                } else {
                    format!("{prefix}::{part}")
                };
                flat.extend(flatten(&whole));
            }
            _ => {}
        }
    }
    flat
}

/// Every path in code, a list of segments each.
fn paths(code: &str) -> Vec<Vec<String>> {
    let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    code.split(|letter| !is_path(letter))
        .filter(|text| text.contains("::"))
        .map(|text| {
            text.split("::")
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .collect()
}
