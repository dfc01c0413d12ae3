//! Which promotions apply, and what buyers read of those that do not.

use model::{Money, Time};

use super::{Shop, promotion_id};
use crate::{Benefit, Promotion, UsesLeft};

/// A basket of 50.00 in lamps, 30.00 in lamps' bulbs and 20.00 in books, sent for 5.00.
fn shop() -> Shop {
    let mut shop = Shop::read("EUR gross DE | 1x5000 std, 1x3000 std, 1x2000 red | 500 std | -");
    let categories = ["Home > Lighting", "Home > Lighting > Bulbs", "Books"];
    for (line, category) in shop.lines.iter_mut().zip(categories) {
        line.categories = vec!["All".into(), category.into()];
    }
    shop
}

fn promotion(shop: &mut Shop, code: &str, offer: &str) -> usize {
    let place = shop.promotions.len();
    let mut promotion = super::offer(place, offer, shop.currency);
    promotion.code = (!code.is_empty()).then(|| code.into());
    shop.promotions.push(promotion);
    place
}

/// The discount, shipping, and what became of each code: `-` where it applies.
fn outcome(shop: &Shop) -> (i64, i64, Vec<String>) {
    let priced = shop.priced();
    let codes = priced.codes.iter().map(|code| match &code.refusal {
        None => "-".to_owned(),
        Some(refusal) => refusal.to_string(),
    });
    (
        priced.totals.discount.amount,
        priced.totals.shipping.amount,
        codes.collect(),
    )
}

/// The code given | what is different of `Summer`, 10 % off | discount | what the code says.
const CODES: &str = "
    SUMMER      | -                                       | 1000  | -
    \u{a0}summer | -                                       | 1000  | -
    SOMMER      | -                                       | 0     | this code is not valid
    SUMMER      | inactive                                | 0     | this code is not valid
    SUMMER      | from 1                                  | 0     | this code is not valid yet
    SUMMER      | from 0                                  | 1000  | -
    SUMMER      | until 0                                 | 0     | this code has expired
    SUMMER      | until 1                                 | 1000  | -
    SUMMER      | used up                                 | 0     | this code has been used up
    SUMMER      | used up by buyer                        | 0     | you have used this code as often as you may
    SUMMER      | for Garden                              | 0     | nothing in the basket is part of this offer
    SUMMER      | for Home > Light                        | 0     | nothing in the basket is part of this offer
    SUMMER      | for Home > Lighting                     | 800   | -
    SUMMER      | for Home > Lighting > Bulbs             | 300   | -
    SUMMER      | minimum 10000 EUR                       | 1000  | -
    SUMMER      | minimum 10001 EUR                       | 0     | this code needs 100.01 EUR of what it is for
    SUMMER      | minimum 2001 EUR for Books              | 0     | this code needs 20.01 EUR of what it is for
    SUMMER      | minimum 1 USD                           | 0     | this code is for another currency
    SUMMER      | amount 1 USD                            | 0     | this code is for another currency
    SUMMER      | percent 0                               | 0     | this code takes nothing off this basket
    SUMMER      | percent 20000                           | 10000 | -
";

/// The promotions, `!` for one that stands alone, automatic without a code | the codes given |
/// discount | shipping | what each code says, `with A` for one that A excludes, `nothing` for one
/// that takes nothing off.
const ALTERNATIVES: &str = "
    A -1000, B 10%           | A B   | 2000  | 500 | -, -
    A -1000, B 10%           | B A   | 2000  | 500 | -, -
    A 10%, B 20%             | A B   | 2800  | 500 | -, -
     10%, B 20%              | B     | 2800  | 500 | -
    A! 10%, B! 20%           | A B   | 2000  | 500 | with B, -
    A! 10%, B! 10%           | B A   | 1000  | 500 | -, with B
    A! 25%, B 10%, C -1000   | A B C | 2500  | 500 | -, with A, with A
    A! 20%, B 10%, C -1000   | A B C | 2000  | 500 | with B, -, -
    ! 20%, B 10%             | B     | 2000  | 500 | with the discount that applies
    ! 20%, B! 30%            | B     | 3000  | 500 | -
    A 100%, B 10%            | A B   | 10000 | 500 | -, nothing
    A -20000, B -1           | B A   | 10000 | 500 | -, -
    A free, B free           | A B   | 0     | 0   | -, nothing
    A! free, B! -499         | A B   | 0     | 0   | -, with A
    A 10%                    | A a   | 1000  | 500 | -, -
    A 100%, B free           | A B   | 10000 | 0   | -, -
";

fn rows<const N: usize>(table: &str) -> impl Iterator<Item = [&str; N]> {
    let lines = table.lines().filter(|line| !line.is_empty());
    lines.map(|line| {
        let columns: Vec<&str> = line.split('|').map(|text| text.trim_matches(' ')).collect();
        columns.try_into().unwrap()
    })
}

fn change(promotion: &mut Promotion, change: &str) {
    let money = |text: &str| {
        let (amount, currency) = text.split_once(' ').unwrap();
        Money {
            amount: amount.parse().unwrap(),
            currency: currency.parse().unwrap(),
        }
    };
    let (kind, value) = change.split_once(' ').unwrap_or((change, ""));
    match kind {
        "-" => {}
        "inactive" => promotion.is_active = false,
        "from" => promotion.from = Some(Time(value.parse().unwrap())),
        "until" => promotion.until = Some(Time(value.parse().unwrap())),
        "used" if value == "up" => promotion.uses_left = UsesLeft::None,
        "used" => promotion.uses_left = UsesLeft::NoneForBuyer,
        "for" => promotion.categories = vec![value.into()],
        "amount" => promotion.benefit = Benefit::Amount(money(value)),
        "percent" => promotion.benefit = Benefit::Percent(value.parse().unwrap()),
        "minimum" => {
            let (minimum, category) = value.split_once(" for ").unwrap_or((value, "All"));
            promotion.minimum = Some(money(minimum));
            promotion.categories = vec![category.into()];
        }
        _ => panic!("{change}"),
    }
}

#[test]
fn a_code_that_does_not_apply_says_why() {
    for [given, different, discount, says] in rows(CODES) {
        let mut shop = shop();
        let place = promotion(&mut shop, "Summer", "10%");
        change(&mut shop.promotions[place], different);
        shop.codes = vec![given.into()];
        let expected = (discount.parse().unwrap(), 500, vec![says.to_owned()]);
        assert_eq!(outcome(&shop), expected, "{given}, {different}");
    }
}

#[test]
fn the_alternative_with_the_lowest_total_applies() {
    for [offers, given, discount, shipping, says] in rows(ALTERNATIVES) {
        let mut shop = shop();
        for text in offers.split(", ") {
            let (code, offer) = text.split_once(' ').unwrap_or(("", text));
            let place = promotion(&mut shop, code.trim_end_matches('!'), offer);
            shop.promotions[place].is_combinable = !code.ends_with('!');
        }
        shop.codes = given.split(' ').map(Into::into).collect();
        let says = says
            .split(", ")
            .map(|text| match text.strip_prefix("with ") {
                Some(with) => format!("this code cannot be combined with {with}"),
                None => text.replace("nothing", "this code takes nothing off this basket"),
            });
        let discount = discount.parse().unwrap();
        let expected = (discount, shipping.parse().unwrap(), says.collect());
        assert_eq!(outcome(&shop), expected, "{offers}, given {given}");
        let taken: i64 = shop
            .priced()
            .promotions
            .iter()
            .map(|one| one.discount.amount)
            .sum();
        assert_eq!(
            taken, discount,
            "{offers}: what each promotion takes off adds up"
        );
    }
}

#[test]
fn free_shipping_waits_for_a_method() {
    for is_combinable in [true, false] {
        let mut shop = shop();
        let place = promotion(&mut shop, "FREE", "free");
        shop.promotions[place].is_combinable = is_combinable;
        shop.codes = vec!["FREE".into()];
        let method = shop.method.take();
        assert_eq!(outcome(&shop), (0, 0, vec!["-".to_owned()]));
        shop.method = method;
        assert_eq!(outcome(&shop), (0, 0, vec!["-".to_owned()]));
        let applied = shop.priced().promotions;
        assert_eq!(
            (applied[0].id, applied[0].shipping_discount.amount),
            (promotion_id(0), 500)
        );
    }
}
