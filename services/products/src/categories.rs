//! Category paths: the tree of them, and renaming.
//!
//! **Invariant:** a category's children follow it in the order of their names.

use serde::Serialize;

use crate::domain::CATEGORY_SEPARATOR;

/// A category with its children.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Category {
    /// The last step of its path.
    name: String,
    /// `Home > Lighting`.
    path: String,
    /// Published products in it and below it, each once.
    count: u64,
    children: Vec<Category>,
}

/// The tree of these paths. Every path's parent must be among them, as it is in
/// the counts, where a product counts for each step above it.
pub(crate) fn tree(mut paths: Vec<(String, u64)>) -> Vec<Category> {
    // By steps, not by bytes, so that a path's children follow it directly.
    paths.sort_by(|(a, _), (b, _)| a.split(CATEGORY_SEPARATOR).cmp(b.split(CATEGORY_SEPARATOR)));
    let mut roots: Vec<Category> = Vec::new();
    for (path, count) in paths {
        let mut siblings = &mut roots;
        let steps = path.split(CATEGORY_SEPARATOR).count();
        for _ in 1..steps {
            // Without its parent it becomes a sibling of its ancestors.
            let Some(last) = siblings.len().checked_sub(1) else {
                break;
            };
            siblings = &mut siblings[last].children;
        }
        let name = path
            .rsplit(CATEGORY_SEPARATOR)
            .next()
            .unwrap_or_default()
            .to_owned();
        siblings.push(Category { name, path, count, children: Vec::new() });
    }
    roots
}

/// A path after the category `from` was renamed to `to`; `None` for one that is not in it.
pub(crate) fn renamed(path: &str, from: &str, to: &str) -> Option<String> {
    let below = path.strip_prefix(from)?;
    let is_inside = below.is_empty() || below.starts_with(CATEGORY_SEPARATOR);
    is_inside.then(|| format!("{to}{below}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_below_their_parents() {
        let paths = ["Home", "Home > Art", "Home > Art > Oil", "Home Office", "A"];
        let tree = tree(paths.map(|path| (path.to_owned(), 1)).into());
        let names: Vec<_> = tree.iter().map(|root| root.name.as_str()).collect();
        assert_eq!(names, ["A", "Home", "Home Office"]);
        assert_eq!(tree[1].children[0].children[0].path, "Home > Art > Oil");
    }

    #[test]
    fn a_rename_moves_all_below_and_nothing_beside() {
        for (path, renamed_to) in [
            ("Home", Some("House")),
            ("Home > Art > Oil", Some("House > Art > Oil")),
            ("Home Office", None),
            ("Garden > Home", None),
        ] {
            let path = renamed(path, "Home", "House");
            assert_eq!(path.as_deref(), renamed_to);
        }
    }
}
