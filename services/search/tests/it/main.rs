//! Tests of the index as a whole: what a query finds, first and at all.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on ends it, like the test itself"
)]

mod corrections;
mod languages;
mod order;
mod spellings;

use std::collections::{BTreeMap, HashMap};

use search::{Document, Index, SearchHits, SearchRequest, Synonyms};

type ProductId = model::Id<model::kinds::Product>;

/// An index of a few titles, and the names its products have in a test.
struct Shop {
    index: Index,
    names: HashMap<ProductId, String>,
    synonyms: Synonyms,
    _folder: tempfile::TempDir,
}

impl Shop {
    /// Products with a name and a title each.
    fn of<'a>(products: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::create(&folder.path().join("index")).unwrap();
        let mut writer = index.writer().unwrap();
        let mut names = HashMap::new();
        for (name, title) in products {
            let id = ProductId::new();
            let attributes = BTreeMap::new();
            let document = document(id, name, title, &attributes);
            writer.add(&document).unwrap();
            names.insert(id, name.to_owned());
        }
        writer.commit(&()).unwrap();
        writer.close().unwrap();
        Self { index, names, synonyms: Synonyms::default(), _folder: folder }
    }

    fn search(&self, text: &str) -> SearchHits {
        let request = SearchRequest { text: text.to_owned(), limit: 100, ..Default::default() };
        self.index.search(&request, &self.synonyms).unwrap()
    }

    /// The names of the products that a query finds, best first.
    fn find(&self, text: &str) -> Vec<&str> {
        let hits = self.search(text);
        assert_eq!(hits.total, hits.page.len(), "{text}");
        let names = hits.page.iter().map(|(id, _)| self.names[id].as_str());
        names.collect()
    }
}

fn document<'a>(
    id: ProductId,
    sku: &'a str,
    title: &'a str,
    attributes: &'a BTreeMap<String, String>,
) -> Document<'a> {
    Document {
        id,
        sku,
        title,
        description: "",
        brand: "",
        categories: &[],
        tags: &[],
        attributes,
        price: 100,
        available: true,
        created: 0,
        rating: None,
    }
}
