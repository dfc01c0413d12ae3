//! Tests of whole baskets. A basket is written as one line of text, so that tables of them
//! can be read:
//!
//! `EUR gross DE | 2x1190 std, 3x107 red | 490 std | 10%, -500 of 0 1` is two lines with prices
//! in minor units and tax classes, sent for 490 taxed as `std` (`goods`: as the goods are), with
//! a percentage off all lines and an amount off the first two (`free`: free shipping; `-`: none).

mod carts;
mod codes;
mod en16931;
mod properties;
mod shipping;

use model::{Country, Currency, Money, ProductId, PromotionId, TaxClass, Time};

use crate::*;

/// What a basket and terms borrow from.
#[derive(Debug, Clone)]
struct Shop {
    currency: Currency,
    price_basis: PriceBasis,
    shipping_taxed_by: ShippingTaxedBy,
    country: Country,
    region: Option<String>,
    lines: Vec<Line>,
    method: Option<ShippingMethod>,
    rates: Vec<TaxRate>,
    promotions: Vec<Promotion>,
    codes: Vec<String>,
}

#[derive(Debug, Clone)]
struct Line {
    product_id: ProductId,
    quantity: u32,
    amount: i64,
    tax_class: TaxClass,
    categories: Vec<String>,
}

/// The ids of the lines' products are in the order of the lines.
fn product_id(place: usize) -> ProductId {
    format!("prod_{place:026}").parse().unwrap()
}

fn promotion_id(place: usize) -> PromotionId {
    format!("promo_{place:026}").parse().unwrap()
}

impl Shop {
    fn read(text: &str) -> Self {
        let mut columns = text.split('|').map(str::trim);
        let head: Vec<&str> = columns.next().unwrap().split(' ').collect();
        let place: Vec<&str> = head[2].split('-').collect();
        let currency: Currency = head[0].parse().unwrap();
        let lines = columns.next().unwrap().split(", ").enumerate();
        let (method, shipping_taxed_by) = method(columns.next().unwrap(), currency);
        let offers = columns
            .next()
            .unwrap()
            .split(", ")
            .filter(|offer| *offer != "-");
        Self {
            currency,
            price_basis: match head[1] {
                "gross" => PriceBasis::Gross,
                basis => (basis == "net").then_some(PriceBasis::Net).unwrap(),
            },
            shipping_taxed_by,
            country: place[0].parse().unwrap(),
            region: place.get(1).map(|region| (*region).to_owned()),
            lines: lines.map(|(place, text)| Line::read(place, text)).collect(),
            method,
            rates: rates(),
            promotions: offers
                .enumerate()
                .map(|(place, text)| offer(place, text, currency))
                .collect(),
            codes: Vec::new(),
        }
    }

    fn basket(&self) -> Basket<'_> {
        let lines = self.lines.iter().map(|line| BasketLine {
            product_id: line.product_id,
            quantity: line.quantity,
            unit_price: self.money(line.amount),
            tax_class: &line.tax_class,
            weight_g: 500,
            requires_shipping: true,
            categories: line.categories.iter().map(String::as_str).collect(),
        });
        Basket {
            currency: self.currency,
            lines: lines.collect(),
            ship_to: Some(ShipTo {
                country: self.country,
                region: self.region.as_deref(),
                postal_code: None,
            }),
            shipping_method: self.method.as_ref(),
            codes: &self.codes,
        }
    }

    fn terms(&self) -> Terms<'_> {
        Terms {
            price_basis: self.price_basis,
            home_country: "DE".parse().unwrap(),
            shipping_taxed_by: self.shipping_taxed_by,
            tax_rates: &self.rates,
            promotions: &self.promotions,
        }
    }

    fn price(&self) -> Result<PricedBasket, PricingError> {
        price(&self.basket(), &self.terms(), Time(0))
    }

    fn priced(&self) -> PricedBasket {
        self.price().unwrap()
    }

    fn money(&self, amount: i64) -> Money {
        Money { amount, currency: self.currency }
    }
}

impl Line {
    fn read(place: usize, text: &str) -> Self {
        let (quantity, rest) = text.split_once('x').unwrap();
        let (amount, tax_class) = rest.split_once(' ').unwrap();
        Self {
            product_id: product_id(place),
            quantity: quantity.parse().unwrap(),
            amount: amount.parse().unwrap(),
            tax_class: tax_class.parse().unwrap(),
            categories: Vec::new(),
        }
    }
}

fn method(text: &str, currency: Currency) -> (Option<ShippingMethod>, ShippingTaxedBy) {
    let Some((price, class)) = text.split_once(' ') else {
        return (None, ShippingTaxedBy::Method);
    };
    let (tax_class, taxed_by) = match class {
        "goods" => ("std", ShippingTaxedBy::Goods),
        class => (class, ShippingTaxedBy::Method),
    };
    let method = ShippingMethod {
        id: "ship_00000000000000000000000000".parse().unwrap(),
        name: "Parcel".into(),
        kind: ShippingKind::Flat,
        currency,
        countries: ServedCountries::All,
        postal_prefixes: Vec::new(),
        bands: vec![PriceBand { from: 0, price: price.parse().unwrap() }],
        free_from: None,
        tax_class: tax_class.parse().unwrap(),
        delivery_days: None,
        is_active: true,
    };
    (Some(method), taxed_by)
}

fn offer(place: usize, text: &str, currency: Currency) -> Promotion {
    let (benefit, places) = text.split_once(" of ").unwrap_or((text, ""));
    let benefit = match (benefit.strip_suffix('%'), benefit.strip_prefix('-')) {
        (Some(percent), _) => {
            let (whole, part) = percent.split_once('.').unwrap_or((percent, ""));
            Benefit::Percent(format!("{whole}{part:0<2}").parse().unwrap())
        }
        (_, Some(amount)) => Benefit::Amount(Money { amount: amount.parse().unwrap(), currency }),
        _ => (benefit == "free")
            .then_some(Benefit::FreeShipping)
            .unwrap(),
    };
    let places = places.split(' ').filter(|place| !place.is_empty());
    Promotion {
        id: promotion_id(place),
        code: None,
        benefit,
        minimum: None,
        categories: Vec::new(),
        product_ids: places
            .map(|place| product_id(place.parse().unwrap()))
            .collect(),
        from: None,
        until: None,
        is_combinable: true,
        is_active: true,
        uses_left: UsesLeft::Some,
    }
}

/// Kuwait has no value added tax; its rate is there for the three digits of its currency.
fn rates() -> Vec<TaxRate> {
    let rates = [
        ("DE", "std", 1900),
        ("DE", "red", 700),
        ("DE", "zero", 0),
        ("FR", "std", 2000),
        ("FR", "red", 550),
        ("CH", "std", 810),
        ("CH", "red", 260),
        ("US-CA", "std", 725),
        ("JP", "std", 1000),
        ("JP", "red", 800),
        ("KW", "std", 500),
    ];
    let rate = |(place, tax_class, rate_bp): (&str, &str, u32)| {
        let (country, region) = place.split_once('-').unwrap_or((place, ""));
        TaxRate {
            country: country.parse().unwrap(),
            region: (!region.is_empty()).then(|| region.into()),
            tax_class: tax_class.parse().unwrap(),
            rate_bp,
            name: format!("{rate_bp}"),
        }
    };
    rates.map(rate).into()
}

/// The result in one line: sums, discount and tax of each line, net amount and tax of each rate.
fn written(priced: &PricedBasket) -> [String; 3] {
    let Totals { items, discount, shipping, tax, total } = priced.totals;
    let sums = format!(
        "{} - {} + {}, tax {}: {}",
        items.amount, discount.amount, shipping.amount, tax.amount, total.amount
    );
    let lines = priced.lines.iter();
    let lines = lines.map(|line| format!("{}/{}", line.discount.amount, line.tax.amount));
    let taxes = priced.tax_lines.iter();
    let taxes =
        taxes.map(|line| format!("{}: {} + {}", line.name, line.net.amount, line.tax.amount));
    [
        sums,
        lines.collect::<Vec<_>>().join(", "),
        taxes.collect::<Vec<_>>().join("; "),
    ]
}
