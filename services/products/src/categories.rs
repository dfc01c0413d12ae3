//! Category paths as a tree.

use serde::Serialize;

use crate::domain::CATEGORY_SEPARATOR;

/// A category and those below it.
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
    // By steps, not by bytes, so that what is below a path follows it at once.
    paths.sort_by(|(a, _), (b, _)| a.split(CATEGORY_SEPARATOR).cmp(b.split(CATEGORY_SEPARATOR)));
    let mut roots: Vec<Category> = Vec::new();
    for (path, count) in paths {
        let mut siblings = &mut roots;
        let steps = path.split(CATEGORY_SEPARATOR).count();
        for _ in 1..steps {
            // Without its parent it is shown among its elders.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_stand_below_their_parents() {
        let paths = ["Home", "Home > Art", "Home > Art > Oil", "Home Office", "A"];
        let tree = tree(paths.map(|path| (path.to_owned(), 1)).into());
        let names: Vec<_> = tree.iter().map(|root| root.name.as_str()).collect();
        assert_eq!(names, ["A", "Home", "Home Office"]);
        assert_eq!(tree[1].children[0].children[0].path, "Home > Art > Oil");
    }
}
