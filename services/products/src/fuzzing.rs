//! Fuzz target of the CSV import: records, columns and drafts from arbitrary bytes.
//!
//! The function takes arbitrary bytes and asserts an invariant. The fuzzer in `fuzz/` and
//! the property test below call the same function, so a crash that the fuzzer finds is
//! reproduced by a plain test.

use crate::import::{ImportMode, ImportRules, StockRule, read_csv};
use crate::submission::read_patch;

/// Pieces of any length are read as the whole body is, every entry has a line of the body,
/// and an imported product is valid: an empty patch changes nothing of it, nor does the line
/// itself once more.
///
/// The first byte chooses the length of the pieces.
///
/// # Panics
/// When the invariant does not hold.
pub fn csv(data: &[u8]) {
    let Some((length, body)) = data.split_first() else {
        return;
    };
    // csv-core drops one more byte order mark, unless it is divided between two pieces.
    let mark = b"\xef\xbb\xbf";
    let text = body.strip_prefix(mark).unwrap_or(body);
    let begin = text.iter().position(|byte| !b"\r\n".contains(byte));
    if begin.is_some_and(|begin| text[begin..].starts_with(mark)) {
        return;
    }
    let rules = ImportRules {
        mode: ImportMode::Upsert,
        stock: StockRule::Initial,
        currency: None,
        currency_default: "EUR".parse().expect("a code of ISO 4217"),
    };
    let whole = read_csv(body.chunks(body.len().max(1)));
    let pieces = read_csv(body.chunks(usize::from(*length) + 1));
    assert_eq!(whole, pieces);
    let lines = 1 + body.iter().filter(|byte| b"\r\n".contains(byte)).count() as u64;
    for entry in whole.0 {
        assert!(
            (1..=lines).contains(&entry.line),
            "line {} of {lines}",
            entry.line
        );
        if let Ok(line) = entry.content
            && let Ok(submission) = line.whole(&rules)
        {
            let content = submission.content;
            let patched = read_patch(&content, b"{}").map(|patched| patched.content);
            assert_eq!(patched.as_ref(), Ok(&content));
            let again = line
                .patched(&content, &rules)
                .map(|patched| patched.content);
            assert_eq!(again, Ok(content));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const FILES: &[&str] = &[
        "\u{1}sku,title,price,currency,categories,attribute.Colour,stock\r\nA-1,\"A \"\"good\"\" lamp\",19.99,EUR,Home|Home > Lamps,red,3\r\nA-2,Chair,5,JPY,,,\n",
        "\u{7}Handle,Title,Body (HTML),Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src\nlamp,Lamp,<p>A &amp; B</p>,Colour,red,L-1,19.99,https://a.test/1.png\nlamp,,,,blue,L-2,20,\nlamp,,,,,,,https://a.test/2.png\n",
        "\u{1}\u{feff}sku,title,price\r\nB-1,Lamp,1.00\r\n",
        "\u{3}sep=;\rsku;title;price;rating.average;rating.count;attributes\rC-1;Lamp;1.299,00;4,5;3;\"{\"\"a\"\":\"\"b\"\"}\"\r",
        "\u{2}ID,Type,SKU,Name,Published,Regular price,Categories,Parent,Attribute 1 name,Attribute 1 value(s)\n1,variable,H,Hat,1,,A > B,,Size,\"S, M\"\n2,variation,,Hat,1,5,,H,Size,S\n",
        "\u{20}sku,title,price\r\"a\r\nb\",x,1.00\r\n\r\nc,\"",
    ];

    proptest! {
        #[test]
        fn files(data in prop_oneof![testkit::mutated(FILES), any::<Vec<u8>>()]) {
            super::csv(&data);
        }
    }
}
