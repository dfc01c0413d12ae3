//! Corrections of typing errors, and none of words that the shop does not sell.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Shop;

/// The demo catalogue, 200 products.
const CATALOGUE: &str = include_str!("../../../../src/demo/catalogue.jsonl");
/// Common English nouns that it does not have.
const ABSENT: &str = include_str!("../../../../bench/judged/corrections/absent_nouns.txt");
/// Words that it has, each with one typo, and as they are spelled.
const MISSPELLED: &str = include_str!("../../../../bench/judged/corrections/misspelled.tsv");

fn demo() -> Shop {
    let products: Vec<(String, String)> = CATALOGUE
        .lines()
        .map(|line| {
            let product: Value = serde_json::from_str(line).unwrap();
            let mut text = String::new();
            for field in ["title", "description", "brand"] {
                text.push_str(product[field].as_str().unwrap_or_default());
                text.push_str(". ");
            }
            for path in product["categories"].as_array().unwrap() {
                text.push_str(path.as_str().unwrap());
                text.push_str(". ");
            }
            for value in product["attributes"].as_object().unwrap().values() {
                text.push_str(value.as_str().unwrap_or_default());
                text.push_str(". ");
            }
            (product["sku"].as_str().unwrap().to_owned(), text)
        })
        .collect();
    Shop::of(
        products
            .iter()
            .map(|(sku, text)| (sku.as_str(), text.as_str())),
    )
}

#[test]
fn a_word_that_the_shop_does_not_have_is_not_corrected() {
    let shop = demo();
    let corrected = ABSENT
        .lines()
        .filter_map(|noun| Some((noun, shop.search(noun).corrected?)));
    let corrected: Vec<(&str, String)> = corrected.collect();
    println!(
        "{} of {} corrected: {corrected:?}",
        corrected.len(),
        ABSENT.lines().count()
    );
    assert!(corrected.len() <= 5, "{corrected:?}");
}

#[test]
fn a_word_with_one_typo_is_found() {
    let shop = demo();
    let lines = MISSPELLED
        .lines()
        .map(|line| line.split_once('\t').unwrap());
    let missed = lines.clone().filter(|(typed, meant)| {
        let expected: BTreeSet<&str> = shop.find(meant).into_iter().collect();
        shop.find(typed)
            .iter()
            .all(|found| !expected.contains(found))
    });
    let missed: Vec<(&str, &str)> = missed.collect();
    println!("{} of {} missed: {missed:?}", missed.len(), lines.count());
    assert!(missed.len() <= 10, "{missed:?}");
}

#[test]
fn edits_are_counted_by_length_and_first_letter() {
    let shop = Shop::of([
        ("mustard", "Mustard"),
        ("filling", "Filling"),
        ("base", "Base"),
        ("headphones", "Headphones"),
        ("socket", "Socket"),
        ("battery", "Battery"),
    ]);
    for (typed, found) in [
        // Words that the shop does not have.
        ("guitar", None),
        ("violin", None),
        ("vase", None),
        ("rocket", None),
        // One edit, a transposition among them.
        ("batery", Some("battery")),
        ("battrey", Some("battery")),
        ("sokcet", Some("socket")),
        // Two below eight letters, or one in the first.
        ("btaery", None),
        ("nattery", None),
        ("zocket", None),
        // Two from eight letters on.
        ("haedphonse", Some("headphones")),
        ("jeadphones", Some("headphones")),
        ("jaedphonse", None),
    ] {
        let expected: Vec<&str> = found.into_iter().collect();
        assert_eq!(shop.find(typed), expected, "{typed}");
    }
}
