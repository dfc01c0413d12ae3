//! Judged queries in languages without blanks between words, and with compounds.

use serde_json::Value;

use crate::Shop;

/// The part of the relevant products that the first ten are expected to have.
const RECALL_MIN: f64 = 0.95;

/// The products, queries and judgements of a language.
macro_rules! judged {
    ($language:literal) => {
        [
            $language,
            include_str!(concat!(
                "../../../../bench/judged/",
                $language,
                "/products.jsonl"
            )),
            include_str!(concat!(
                "../../../../bench/judged/",
                $language,
                "/queries.jsonl"
            )),
            include_str!(concat!(
                "../../../../bench/judged/",
                $language,
                "/judgements.tsv"
            )),
        ]
    };
}

fn fields(lines: &str, first: &str, second: &str) -> Vec<(String, String)> {
    let field = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines
        .map(|line: Value| (field(&line, first), field(&line, second)))
        .collect()
}

#[test]
fn judged_queries_are_answered() {
    let sets = [
        judged!("ja"),
        judged!("zh"),
        judged!("ko"),
        judged!("th"),
        judged!("de"),
    ];
    for [language, products, queries, judgements] in sets {
        let products = fields(products, "sku", "title");
        let shop = Shop::of(
            products
                .iter()
                .map(|(sku, title)| (sku.as_str(), title.as_str())),
        );
        let (mut recall, mut missed) = (0.0, Vec::new());
        let queries = fields(queries, "query_id", "query");
        for (id, query) in &queries {
            let first: Vec<&str> = shop.find(query).into_iter().take(10).collect();
            let judged = judgements
                .lines()
                .map(|line| line.split('\t').collect::<Vec<_>>());
            let relevant = judged.filter(|line| line[0] == id).map(|line| line[1]);
            let relevant: Vec<&str> = relevant.collect();
            let found = relevant.iter().filter(|name| first.contains(name)).count();
            recall += found as f64 / relevant.len() as f64;
            if found < relevant.len() {
                missed.push((query, first));
            }
        }
        recall /= queries.len() as f64;
        println!("{language}: recall@10 {recall:.3}, missed {missed:?}");
        assert!(
            recall >= RECALL_MIN,
            "{language}: {recall:.3}, missed {missed:?}"
        );
    }
}

#[test]
fn another_word_of_the_same_characters_is_not_found() {
    let shop = Shop::of([
        ("cable", "USBケーブル"),
        ("purse", "本革長財布"),
        ("lamp", "Stehlampe"),
        ("shoes", "Damenschuhe"),
        ("dress", "Adjustable dress"),
    ]);
    for typed in ["テーブル", "ブルケー", "布財", "table"] {
        assert_eq!(shop.find(typed), [] as [&str; 0], "{typed}");
    }
    assert_eq!(shop.find("ケーブル"), ["cable"]);
    assert_eq!(shop.find("革財布"), ["purse"]);
    assert_eq!(shop.find("lampe"), ["lamp"]);
    assert_eq!(shop.search("lampe").corrected, None);
}
