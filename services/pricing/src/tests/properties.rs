//! What holds of every basket.

use model::Money;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Line, Shop, offer, product_id};
use crate::*;

fn line() -> impl Strategy<Value = (u32, i64, &'static str)> {
    let amount = prop_oneof![0i64..2000, 0i64..1_000_000, Just(1)];
    (
        1..=QUANTITY_MAX,
        amount,
        select(vec!["std", "red", "zero", "none"]),
    )
}

/// The benefit, the bits of the lines it is for, and the bits of how it is offered.
fn promotion() -> impl Strategy<Value = (String, u8, u8)> {
    let benefit = prop_oneof![
        (0u32..=10_000).prop_map(|bp| format!("{}.{:02}%", bp / 100, bp % 100)),
        (0i64..3_000_000).prop_map(|amount| format!("-{amount}")),
        Just("free".to_owned()),
    ];
    (benefit, any::<u8>(), any::<u8>())
}

fn shops() -> impl Strategy<Value = Shop> {
    let lines = prop::collection::vec(line(), 1..8);
    let promotions = prop::collection::vec(promotion(), 0..5);
    let currency = select(vec!["EUR", "JPY", "KWD"]);
    let basis = select(vec!["gross", "net"]);
    let taxed_by = select(vec!["- std", "std", "red", "none", "goods"]);
    let country = select(vec!["DE", "FR", "US"]);
    let parts = (
        lines,
        promotions,
        currency,
        basis,
        taxed_by,
        country,
        0i64..10_000,
    );
    parts.prop_map(
        |(lines, promotions, currency, basis, taxed_by, country, shipping)| {
            let shipping = match taxed_by {
                "- std" => "-".to_owned(),
                class => format!("{shipping} {class}"),
            };
            let head = format!("{currency} {basis} {country} | 1x1 std | {shipping} | -");
            let mut shop = Shop::read(&head);
            let lines = lines.into_iter().enumerate();
            shop.lines = lines
                .map(|(place, (quantity, amount, class))| Line {
                    product_id: product_id(place),
                    quantity,
                    amount,
                    tax_class: class.parse().unwrap(),
                    categories: Vec::new(),
                })
                .collect();
            for (place, (benefit, lines, offered)) in promotions.into_iter().enumerate() {
                let mut one = offer(place, &benefit, shop.currency);
                let is_for = |line: &usize| lines & (1 << line) != 0;
                one.product_ids = (0..8).filter(is_for).map(product_id).collect();
                one.is_combinable = offered & 1 == 0;
                if offered & 2 == 0 {
                    one.code = Some(format!("C{place}"));
                    shop.codes.push(format!("c{place}"));
                }
                if offered & 12 == 12 {
                    one.minimum = Some(shop.money(i64::from(offered) * 1000));
                }
                shop.promotions.push(one);
            }
            shop
        },
    )
}

fn sum(amounts: impl IntoIterator<Item = Money>) -> i64 {
    amounts.into_iter().map(|money| money.amount).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn lines_add_up_to_the_totals_and_the_totals_to_the_total(shop in shops()) {
        let priced = shop.priced();
        let Totals { items, discount, shipping, tax, total } = priced.totals;
        let (shipping_tax, shipping_price) = match priced.shipping {
            ShippingOutcome::Charged { tax, price, .. } => (tax, price.amount),
            _ => (shop.money(0), 0),
        };
        prop_assert_eq!(sum(priced.lines.iter().map(|line| line.line_total)), items.amount);
        prop_assert_eq!(sum(priced.lines.iter().map(|line| line.discount)), discount.amount);
        prop_assert_eq!(sum(priced.lines.iter().map(|line| line.tax)) + shipping_tax.amount, tax.amount);
        prop_assert_eq!(sum(priced.tax_lines.iter().map(|line| line.tax)), tax.amount);
        prop_assert_eq!(sum(priced.promotions.iter().map(|one| one.discount)), discount.amount);
        let spared = sum(priced.promotions.iter().map(|one| one.shipping_discount));
        prop_assert_eq!(shipping.amount + spared, shipping_price);
        let stated = items.amount - discount.amount + shipping.amount;
        let added = if shop.price_basis == PriceBasis::Net { tax.amount } else { 0 };
        prop_assert_eq!(stated + added, total.amount);

        // Net plus tax is gross, but for what no rate taxes.
        let taxed = sum(priced.tax_lines.iter().flat_map(|line| [line.net, line.tax]));
        let has_rate = |class: &model::TaxClass| shop.rates.iter().any(|rate| {
            rate.country == shop.country && rate.region.is_none() && rate.tax_class == *class
        });
        let lines = priced.lines.iter().zip(&shop.lines);
        let untaxed = lines.filter(|(_, line)| !has_rate(&line.tax_class));
        let untaxed: i64 = untaxed.map(|(line, _)| line.line_total.amount - line.discount.amount).sum();
        let rest = total.amount - taxed - untaxed;
        prop_assert!((0..=shipping.amount).contains(&rest), "{rest}");
        if shop.method.as_ref().is_none_or(|method| has_rate(&method.tax_class))
            && shop.shipping_taxed_by == ShippingTaxedBy::Method {
            prop_assert_eq!(rest, 0);
        }

        let amounts = [items, discount, shipping, tax, total].into_iter()
            .chain(priced.lines.iter().flat_map(|line| [line.line_total, line.discount, line.tax]))
            .chain(priced.tax_lines.iter().flat_map(|line| [line.net, line.tax]));
        for amount in amounts {
            prop_assert!(amount.amount >= 0 && amount.currency == shop.currency);
        }
        for line in &priced.lines {
            prop_assert!(line.discount.amount <= line.line_total.amount);
        }
    }

    #[test]
    fn the_order_of_lines_rates_and_promotions_changes_nothing(
        shop in shops(), swaps in prop::collection::vec((any::<Index>(), any::<Index>()), 1..8),
    ) {
        let mut moved = shop.clone();
        for (one, other) in &swaps {
            moved.lines.swap(one.index(shop.lines.len()), other.index(shop.lines.len()));
            moved.rates.swap(one.index(shop.rates.len()), other.index(shop.rates.len()));
            if let places @ 1.. = shop.promotions.len() {
                moved.promotions.swap(one.index(places), other.index(places));
            }
        }
        let (priced, mut moved) = (shop.priced(), moved.priced());
        moved.lines.sort_by_key(|line| line.product_id);
        prop_assert_eq!(priced, moved);
    }

    #[test]
    fn one_code_more_never_makes_it_dearer(shop in shops(), more in promotion(), alone: bool) {
        let before = shop.priced().totals.total.amount;
        let mut shop = shop;
        let mut one = offer(99, &more.0, shop.currency);
        one.product_ids = (0..8).filter(|line| more.1 & (1 << line) != 0).map(product_id).collect();
        one.code = Some("MORE".into());
        one.is_combinable = !alone;
        shop.promotions.push(one);
        shop.codes.push("more".into());
        prop_assert!(shop.priced().totals.total.amount <= before);
    }

    #[test]
    fn all_of_it_off_is_zero(shop in shops()) {
        let mut shop = shop;
        shop.promotions = vec![offer(0, "100%", shop.currency), offer(1, "free", shop.currency)];
        shop.codes.clear();
        let Totals { items, discount, shipping, tax, total } = shop.priced().totals;
        prop_assert_eq!(items, discount);
        prop_assert_eq!([shipping.amount, tax.amount, total.amount], [0; 3]);
    }

    /// Up to the largest amount there is a result, and above it a refusal.
    #[test]
    fn nothing_overflows(
        quantity in 1..=QUANTITY_MAX, lines in 1..=LINES_MAX, rate_bp: u32,
        amount in prop_oneof![0..=i64::MAX, Just(i64::MAX), Just(AMOUNT_MAX), Just(AMOUNT_MAX / 100_000)],
        basis in select(vec![PriceBasis::Gross, PriceBasis::Net]),
    ) {
        let mut shop = Shop::read("EUR net DE | 1x1 std | 9223372036854775807 goods | 0.01%, -9223372036854775807");
        let line = Line { quantity, amount, ..shop.lines[0].clone() };
        let line = |place| Line { product_id: product_id(place), ..line.clone() };
        shop.lines = (0..lines).map(line).collect();
        (shop.price_basis, shop.rates[0].rate_bp) = (basis, rate_bp);
        let items = i128::from(amount) * i128::from(quantity) * lines as i128;
        match shop.price() {
            Ok(priced) => prop_assert!(priced.totals.total.amount <= AMOUNT_MAX),
            Err(error) => prop_assert_eq!(error, PricingError::TooLarge),
        }
        shop.method = None;
        shop.promotions.clear();
        shop.rates.clear();
        match shop.price() {
            Ok(priced) => prop_assert_eq!(i128::from(priced.totals.total.amount), items),
            Err(error) => {
                prop_assert_eq!(error, PricingError::TooLarge);
                prop_assert!(items > AMOUNT_MAX.into());
            }
        }
    }
}

#[test]
fn a_basket_beyond_its_limits_is_refused() {
    type Change = fn(&mut Shop);
    let cases: [(Change, PricingError); 7] = [
        (|shop| shop.lines[1].quantity = 0, PricingError::Quantity(1)),
        (
            |shop| shop.lines[1].quantity = QUANTITY_MAX + 1,
            PricingError::Quantity(1),
        ),
        (
            |shop| shop.lines[1].amount = -1,
            PricingError::NegativePrice(1),
        ),
        (
            |shop| shop.lines[1].product_id = product_id(0),
            PricingError::RepeatedProduct(1),
        ),
        (
            |shop| shop.codes = vec!["A".into(); CODES_MAX + 1],
            PricingError::TooManyCodes,
        ),
        (
            |shop| shop.lines = vec![shop.lines[0].clone(); LINES_MAX + 1],
            PricingError::TooManyLines,
        ),
        (
            |shop| shop.lines[0].amount = AMOUNT_MAX,
            PricingError::TooLarge,
        ),
    ];
    for (change, error) in cases {
        let mut shop = Shop::read("EUR gross DE | 1x1000 std, 1x1000 std | - | -");
        change(&mut shop);
        assert_eq!(shop.price().unwrap_err(), error);
    }
    let shop = Shop::read("EUR gross DE | 1x1000 std, 1x1000 std | - | -");
    let mut basket = shop.basket();
    basket.lines[1].unit_price.currency = "USD".parse().unwrap();
    let mixed = price(&basket, &shop.terms(), model::Time(0));
    assert_eq!(mixed.unwrap_err(), PricingError::MixedCurrencies(1));
    basket.lines.clear();
    let empty = price(&basket, &shop.terms(), model::Time(0)).unwrap();
    assert_eq!(
        (empty.totals.total.amount, empty.shipping),
        (0, ShippingOutcome::NotNeeded)
    );
}
