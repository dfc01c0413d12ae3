//! The order of matches that are equal, and the pages of it.

use std::collections::{BTreeMap, BTreeSet};

use search::{Facet, Index, SearchOrder, SearchRequest, Synonyms};

use crate::{ProductId, document};

const PRODUCTS: usize = 300;
const PAGE: usize = 50;

/// All products are equal but for their ids. Between two pages some are indexed anew, as
/// after a change, so that their places in the index change.
#[test]
fn pages_neither_repeat_nor_miss() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(&folder.path().join("index")).unwrap();
    let mut writer = index.writer().unwrap();
    let attributes = BTreeMap::new();
    let ids: Vec<ProductId> = (0..PRODUCTS).map(|_| ProductId::new()).collect();
    for id in &ids {
        writer
            .add(&document(*id, "sku", "Desk lamp", &attributes))
            .unwrap();
    }
    writer.commit(&()).unwrap();
    for (text, order) in [
        ("", SearchOrder::Relevance),
        ("", SearchOrder::Cheapest),
        ("", SearchOrder::Newest),
        ("", SearchOrder::Title),
        ("", SearchOrder::BestRated),
        ("lamp", SearchOrder::Relevance),
    ] {
        let mut seen = BTreeSet::new();
        for (page, changed) in ids.chunks(PAGE).enumerate() {
            let request = SearchRequest {
                text: text.into(),
                order,
                limit: PAGE,
                offset: page * PAGE,
                ..SearchRequest::default()
            };
            let hits = index.search(&request, &Synonyms::default()).unwrap();
            seen.extend(hits.page.iter().map(|(id, _)| *id));
            for id in changed.iter().step_by(7) {
                writer.delete(*id);
                writer
                    .add(&document(*id, "sku", "Desk lamp", &attributes))
                    .unwrap();
            }
            writer.commit(&()).unwrap();
        }
        assert_eq!(seen.len(), PRODUCTS, "{text:?} {order:?}");
    }
}

/// Titles of several segments, each with ordinals of its own.
#[test]
fn titles_are_sorted_as_names() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(&folder.path().join("index")).unwrap();
    let mut writer = index.writer().unwrap();
    let attributes = BTreeMap::new();
    let titles = [
        "Apfel",
        "Äpfel",
        "Apfelsaft",
        "kabel 1",
        "Kabel 2",
        "Kabel 2",
        "Kabel 10",
        "Zange",
    ];
    let ids: Vec<ProductId> = titles.iter().map(|_| ProductId::new()).collect();
    for start in 0..3 {
        for place in (start..titles.len()).step_by(3).rev() {
            let product = document(ids[place], "sku", titles[place], &attributes);
            writer.add(&product).unwrap();
        }
        writer.commit(&()).unwrap();
    }
    for (offset, limit) in [(0, 8), (0, 3), (3, 3), (6, 3)] {
        let request = SearchRequest {
            order: SearchOrder::Title,
            offset,
            limit,
            ..SearchRequest::default()
        };
        let hits = index.search(&request, &Synonyms::default()).unwrap();
        let found: Vec<_> = hits.page.iter().map(|(id, _)| *id).collect();
        assert_eq!(
            found,
            ids[offset..ids.len().min(offset + limit)],
            "{offset}"
        );
    }
}

#[test]
fn a_facet_says_that_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(&folder.path().join("index")).unwrap();
    let mut writer = index.writer().unwrap();
    for number in 0..5 {
        let attributes = BTreeMap::from([("Size, EU".to_owned(), number.to_string())]);
        writer
            .add(&document(ProductId::new(), "sku", "Shoe", &attributes))
            .unwrap();
    }
    writer.commit(&()).unwrap();
    for (limit, values, more) in [(3, 3, true), (5, 5, false), (100, 5, false)] {
        let size = Facet::Attribute("Size, EU".into());
        let request = SearchRequest {
            limit: 1,
            facets: vec![("size".into(), size)],
            facet_limit: limit,
            ..SearchRequest::default()
        };
        let hits = index.search(&request, &Synonyms::default()).unwrap();
        let shown = serde_json::to_value(&hits.facets["size"]).unwrap();
        let shown = shown.as_array().unwrap();
        assert_eq!(shown.len(), values);
        let marked = shown.iter().filter(|value| value["more"] == true).count();
        assert_eq!(marked, usize::from(more), "{shown:?}");
    }
}
