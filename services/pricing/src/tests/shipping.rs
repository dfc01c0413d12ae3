//! Which methods fit, what they cost, and where a basket is taxed.

use model::Country;

use super::{Shop, method};
use crate::{
    PriceBand, ServedCountries, ShipTo, ShippingKind, ShippingMethod, ShippingOutcome, TaxRate,
    price, shipping_options,
};

/// Two lines of 1,000 g each, together 25.00.
const BASKET: &str = "EUR gross DE | 2x1000 std, 2x250 red | - | -";

fn country(code: &str) -> Country {
    code.parse().unwrap()
}

/// The kind and its bands | what else is different of the method | destination | its price.
const METHODS: &str = "
    flat 0:490               | -                      | DE 10115    | 490
    flat 0:490               | inactive               | DE 10115    | -
    flat 0:490               | currency USD           | DE 10115    | -
    flat 0:490               | countries FR DE        | DE 10115    | 490
    flat 0:490               | countries FR DE        | AT 1010     | -
    flat 0:490               | prefixes 20 10         | DE 10115    | 490
    flat 0:490               | prefixes 20            | DE 10115    | -
    flat 0:490               | prefixes sw1a1         | GB SW1A-1aa | 490
    flat 0:490               | prefixes 10            | DE          | -
    flat 0:490               | free 2500              | DE 10115    | 0
    flat 0:490               | free 2501              | DE 10115    | 490
    flat                     | -                      | DE 10115    | -
    by_weight 0:300 2000:700 | -                      | DE          | 700
    by_weight 0:300 2001:700 | -                      | DE          | 300
    by_weight 2001:700       | -                      | DE          | -
    by_total 0:690 2500:290  | -                      | DE          | 290
    by_total 0:690 2501:290  | -                      | DE          | 690
    pickup 0:0               | -                      | FR          | 0
    flat 0:490               | countries DE           |             | 490
    flat 0:490               | countries FR           |             | -
";

fn read(kind: &str, different: &str) -> ShippingMethod {
    let mut method = method("490 std", "EUR".parse().unwrap()).0.unwrap();
    let mut words = kind.split(' ');
    method.kind = match words.next().unwrap() {
        "flat" => ShippingKind::Flat,
        "by_weight" => ShippingKind::ByWeight,
        "by_total" => ShippingKind::ByTotal,
        kind => (kind == "pickup").then_some(ShippingKind::Pickup).unwrap(),
    };
    let bands = words.map(|band| {
        let (from, price) = band.split_once(':').unwrap();
        PriceBand { from: from.parse().unwrap(), price: price.parse().unwrap() }
    });
    method.bands = bands.collect();
    let (field, value) = different.split_once(' ').unwrap_or((different, ""));
    let values = value.split(' ');
    match field {
        "-" => {}
        "inactive" => method.is_active = false,
        "currency" => method.currency = value.parse().unwrap(),
        "countries" => method.countries = ServedCountries::Listed(values.map(country).collect()),
        "prefixes" => method.postal_prefixes = values.map(Into::into).collect(),
        "free" => method.free_from = Some(value.parse().unwrap()),
        _ => panic!("{different}"),
    }
    method
}

#[test]
fn a_method_fits_by_place_currency_weight_and_value() {
    let shop = Shop::read(BASKET);
    for line in METHODS.lines().filter(|line| !line.is_empty()) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [kind, different, place, costs] = columns.try_into().unwrap();
        let methods = [read(kind, different)];
        let costs: Option<i64> = costs.parse().ok();
        let (code, postal) = place.split_once(' ').unwrap_or((place, ""));
        let postal_code = (!postal.is_empty()).then_some(postal);
        let to = |code| ShipTo { country: country(code), region: None, postal_code };
        let mut basket = shop.basket();
        basket.ship_to = (!code.is_empty()).then(|| to(code));
        basket.shipping_method = Some(&methods[0]);
        let options = shipping_options(&basket, &shop.terms(), &methods).unwrap();
        let option = options.first().map(|option| option.price.amount);
        assert_eq!(option, costs, "{line}");
        let priced = price(&basket, &shop.terms(), model::Time(0)).unwrap();
        assert_eq!(priced.totals.shipping.amount, costs.unwrap_or(0), "{line}");
        let is_charged = matches!(priced.shipping, ShippingOutcome::Charged { .. });
        assert_eq!(is_charged, costs.is_some(), "{line}");
        for line in &mut basket.lines {
            line.requires_shipping = false;
        }
        assert!(
            shipping_options(&basket, &shop.terms(), &methods)
                .unwrap()
                .is_empty()
        );
        let priced = price(&basket, &shop.terms(), model::Time(0)).unwrap();
        assert_eq!(priced.shipping, ShippingOutcome::NotNeeded, "{line}");
    }
}

#[test]
fn the_most_specific_rate_of_the_place_of_delivery_counts() {
    let rate = |place: &str, rate_bp| {
        let (code, region) = place.split_once('-').unwrap_or((place, ""));
        let region = (!region.is_empty()).then(|| region.to_owned());
        let name = format!("{place} {rate_bp}");
        TaxRate {
            country: country(code),
            region,
            tax_class: "std".parse().unwrap(),
            rate_bp,
            name,
        }
    };
    let mut shop = Shop::read("EUR net DE | 1x10000 std | 0 std | -");
    shop.rates = vec![rate("DE", 1900), rate("ES-Canarias", 700), rate("ES", 2100)];
    for (code, region, kind, rate_bp) in [
        ("ES", None, ShippingKind::Flat, 2100),
        ("ES", Some("Madrid"), ShippingKind::Flat, 2100),
        ("ES", Some(" CANARIAS "), ShippingKind::Flat, 700),
        ("FR", None, ShippingKind::Flat, 0),
        ("", None, ShippingKind::Flat, 1900),
        // Fetched goods change hands at home.
        ("ES", Some("Canarias"), ShippingKind::Pickup, 1900),
    ] {
        shop.method.as_mut().unwrap().kind = kind;
        let mut basket = shop.basket();
        let to = |code| ShipTo { country: country(code), region, postal_code: None };
        basket.ship_to = (!code.is_empty()).then(|| to(code));
        let priced = price(&basket, &shop.terms(), model::Time(0)).unwrap();
        let tax = priced.totals.tax.amount;
        assert_eq!(
            (priced.lines[0].tax_rate_bp, tax),
            (rate_bp, i64::from(rate_bp)),
            "{code}"
        );
        assert_eq!(priced.tax_lines.len(), usize::from(rate_bp > 0), "{code}");
    }
}
