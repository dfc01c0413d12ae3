//! The worked examples of EN 16931-1 that the committee publishes as invoices
//! (`ubl/examples/ubl-tc434-example*.xml` of ConnectingEurope/eInvoicing-EN16931).
//!
//! A document-level allowance is an amount off the lines of its rate, a charge is shipping of its
//! rate, a line's net amount its price. Example 1 has a line of -109.98 for returned goods at
//! 6 %, which is an allowance here; 6 repeats 4, and 10 repeats 1. Example 2 has a negative
//! exempt line and is left out: no basket has one.
//!
//! | rule | what it says | here |
//! | --- | --- | --- |
//! | BR-CO-10 | sum of the lines' net amounts | `items` |
//! | BR-CO-11, BR-CO-12 | sums of allowances and of charges | `discount`, `shipping` |
//! | BR-CO-13 | total without tax: lines, less allowances, with charges | `total` less `tax` |
//! | BR-CO-14 | total tax: the sum of the taxes of all rates | `tax` |
//! | BR-CO-15 | total with tax | `total` |
//! | BR-CO-17 | tax of a rate: its taxable amount times the rate, rounded to two decimals | `tax_lines` |

use super::{Shop, written};
use crate::TaxRate;

/// Example | lines | charge | allowance | sums | tax of each rate.
const EXAMPLES: [[&str; 6]; 7] = [
    [
        "1: EUR net NL",
        "2x995 6, 1x985 6, 1x829 6, 2x723 6, 1x3500 6, 1x3500 6, 1x1065 6, 1x155 6, 3x479 6, 1x829 6, 2x829 6, 1x995 6, 2x165 6, 1x1080 21, 1x390 6, 2x380 21, 2x467 21, 1x1863 21, 6x1702 6",
        "-",
        "-10998 of 0 1 2 3 4 5 6 7 8 9 10 11 12 14 18",
        "33958 - 10998 + 0, tax 2073: 25033",
        "2100: 4637 + 974; 600: 18323 + 1099",
    ],
    [
        "3: DKK net DK",
        "1x80000 25, 1x80000 10",
        "10000 25",
        "-",
        "160000 - 0 + 10000, tax 30500: 200500",
        "2500: 90000 + 22500; 1000: 80000 + 8000",
    ],
    [
        "4: DKK net DK",
        "1000x100 25, 100x500 25, 500x500 12",
        "-",
        "-",
        "400000 - 0 + 0, tax 67500: 467500",
        "2500: 150000 + 37500; 1200: 250000 + 30000",
    ],
    [
        "5: DKK net DK",
        "1000x100 25, 100x500 25, 500x500 12",
        "15000 25",
        "-15000 of 0 1",
        "400000 - 15000 + 15000, tax 67500: 467500",
        "2500: 150000 + 37500; 1200: 250000 + 30000",
    ],
    [
        "7: SEK net SE",
        "1x250000 none, 1x70000 none",
        "-",
        "-",
        "320000 - 0 + 0, tax 0: 320000",
        "",
    ],
    [
        "8: EUR net NL",
        "1x14080 21, 1x1616 21, 1x16764 21, 58x153 21, 1x3675 21, 1x5650 21, 1x8334 21, 1x19031 21, 1x6421 21, 1x6446 21",
        "-",
        "-",
        "90891 - 0 + 0, tax 19087: 109978",
        "2100: 90891 + 19087",
    ],
    [
        "9: EUR net NL",
        "3x4900 21",
        "-",
        "-",
        "14700 - 0 + 0, tax 3087: 17787",
        "2100: 14700 + 3087",
    ],
];

#[test]
fn the_standards_examples_have_the_totals_that_it_states() {
    for [example, lines, charge, allowance, sums, taxes] in EXAMPLES {
        let (number, head) = example.split_once(": ").unwrap();
        let mut shop = Shop::read(&format!("{head} | {lines} | {charge} | {allowance}"));
        let classes = ["6", "10", "12", "21", "25"];
        let rate = |class: &str| TaxRate {
            country: shop.country,
            region: None,
            tax_class: class.parse().unwrap(),
            rate_bp: 100 * class.parse::<u32>().unwrap(),
            name: format!("{class}00"),
        };
        shop.rates = classes.map(rate).into();
        let [of_basket, _, of_rates] = written(&shop.priced());
        assert_eq!(
            [of_basket.as_str(), of_rates.as_str()],
            [sums, taxes],
            "example {number}"
        );
    }
}
