//! Bodies, golden bytes of the rows, and what pricing reads of them.

use chassis::fields::{BodyFault, Fields};
use futures::executor::block_on;
use model::{Id, Money, ProductId, Time};
use pricing::{Benefit, ServedCountries, UsesLeft};
use serde_json::{Value, json};
use store::{Options, Store};

use super::*;
use crate::Error;

/// The pointers of the faults, separated by blanks; of an unreadable body what is wrong.
fn faults<T: Term>(body: &Value) -> String {
    match Fields::read_text::<TermBody<T>>(body.to_string().as_bytes()) {
        Ok(_) => String::new(),
        Err(BodyFault::Invalid(faults)) => faults
            .into_iter()
            .map(|fault| fault.pointer)
            .collect::<Vec<_>>()
            .join(" "),
        Err(BodyFault::Unreadable(why)) => why,
    }
}

fn content<T: Term>(body: &Value) -> T {
    match Fields::read_text::<TermBody<T>>(body.to_string().as_bytes()) {
        Ok(body) => body.content,
        Err(fault) => panic!("{fault:?}: {body}"),
    }
}

/// The body with these members set, or removed where they are `null`.
fn with(body: &Value, changes: Value) -> Value {
    let mut body = body.clone();
    let Value::Object(changes) = changes else {
        panic!("{changes}")
    };
    body.as_object_mut().unwrap().extend(changes);
    body
}

fn euros(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

fn method() -> Value {
    let bands = json!([{ "price": euros(490) }, { "from": 5000, "price": euros(990) }]);
    json!({ "name": "Parcel", "kind": "by_weight", "countries": ["DE", "AT"], "bands": bands })
}

fn rate() -> Value {
    json!({ "country": "DE", "rate_bp": 1900, "name": "VAT 19 %" })
}

fn promotion() -> Value {
    json!({ "name": "Summer", "code": "Sonne10", "kind": "percent", "value": 1000 })
}

/// What is different of a body | the pointers of its faults.
const METHODS: &str = r#"
    {}                                                              |
    { "countries": ["*"], "kind": "pickup", "bands": [{ "price": { "amount": 0, "currency": "EUR" } }] } |
    { "countries": [" de ", "DE"], "delivery_days": [2, 4], "free_from": { "amount": 5000, "currency": "EUR" } } |
    { "name": " ", "kind": "drone", "countries": null, "bands": null } | /name /kind /countries /bands
    { "countries": [] }                                             | /countries
    { "countries": ["DE", "*"] }                                    | /countries
    { "countries": ["DE", "XX", "Germany", 1] }                     | /countries/1 /countries/2 /countries/3
    { "postal_prefixes": ["10", "SW1A 1", "BT-1"] }                 |
    { "postal_prefixes": ["", "-", "ä", "12345678901234567"] }      | /postal_prefixes/0 /postal_prefixes/1 /postal_prefixes/2 /postal_prefixes/3
    { "kind": "flat" }                                              | /bands
    { "bands": [] }                                                 | /bands
    { "bands": [{ "price": { "amount": 1, "currency": "EUR" } }, { "from": 0, "price": { "amount": 1, "currency": "EUR" } }] } | /bands/1/from
    { "bands": [{ "price": { "amount": 1, "currency": "EUR" } }, { "from": 9, "price": { "amount": 1, "currency": "USD" } }] } | /bands/1/price/currency
    { "bands": [{ "from": -1, "price": { "amount": -1, "currency": "EUR" } }, {}] } | /bands/0/from /bands/0/price/amount /bands/1/price
    { "free_from": { "amount": 1, "currency": "USD" } }             | /free_from/currency
    { "tax_class": "Standard" }                                     | /tax_class
    { "delivery_days": [4, 2] }                                     | /delivery_days
    { "delivery_days": [4] }                                        | /delivery_days
    { "delivery_days": [0, 366], "active": "no" }                   | /delivery_days /active
    { "price": 1, "uses": 1 }                                       | unknown field `price`; unknown field `uses`
"#;

const RATES: &str = r#"
    {}                                                              |
    { "region": "Canarias", "tax_class": "reduced-2", "rate_bp": 0 } |
    { "rate_bp": 10000 }                                            |
    { "country": null, "rate_bp": null, "name": null }              | /country /rate_bp /name
    { "country": "EU", "region": "", "tax_class": "A", "rate_bp": 10001 } | /country /region /tax_class /rate_bp
    { "rate_bp": 19.5 }                                             | /rate_bp
    { "rate": 19 }                                                  | unknown field `rate`
"#;

const PROMOTIONS: &str = r#"
    {}                                                              |
    { "code": null, "kind": "free_shipping", "value": null }        |
    { "kind": "amount", "value": { "amount": 5, "currency": "EUR" }, "minimum": { "amount": 0, "currency": "EUR" } } |
    { "categories": ["Home>Lighting"], "uses_max": 1, "uses_max_per_buyer": 1 } |
    { "name": null, "code": "", "kind": null }                      | /name /code /kind
    { "code": "A\u00a0B" }                                          | /code
    { "code": "123456789012345678901234567890123456789012345678901" } | /code
    { "value": null }                                               | /value
    { "value": 0 }                                                  | /value
    { "value": 10001 }                                              | /value
    { "value": { "amount": 1, "currency": "EUR" } }                 | /value
    { "kind": "amount" }                                            | /value
    { "kind": "amount", "value": { "amount": 0, "currency": "EUR" } } | /value/amount
    { "kind": "amount", "value": { "amount": 1, "currency": "EUR" }, "minimum": { "amount": 1, "currency": "USD" } } | /minimum/currency
    { "kind": "free_shipping" }                                     | /value
    { "product_ids": ["LAMP-1"], "categories": ["Home >"] }         | /categories/0 /product_ids/0
    { "from": "2026-12-24T00:00:00Z", "until": "2026-12-24T00:00:00Z" } | /until
    { "from": "tomorrow", "uses_max": 0, "uses_max_per_buyer": -1 } | /from /uses_max /uses_max_per_buyer
    { "combinable": 1, "active": 1 }                                | /combinable /active
"#;

fn every_fault_is_reported<T: Term>(valid: &Value, table: &str) {
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let (changes, expected) = line.rsplit_once('|').unwrap();
        let body = with(valid, serde_json::from_str(changes).unwrap());
        assert_eq!(faults::<T>(&body), expected.trim(), "{changes}");
    }
}

#[test]
fn every_fault_of_a_body_is_reported() {
    every_fault_is_reported::<ShippingMethodContent>(&method(), METHODS);
    every_fault_is_reported::<TaxRateContent>(&rate(), RATES);
    every_fault_is_reported::<PromotionContent>(&promotion(), PROMOTIONS);
}

#[test]
fn what_can_be_long_is_bounded() {
    let bands = |count: i64| -> Value {
        let band = |from| json!({ "from": from, "price": euros(1) });
        json!({ "bands": (0..count).map(band).collect::<Vec<_>>() })
    };
    let numbers = |count: i64| {
        (0..count)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    };
    let methods = [
        (json!({ "countries": vec!["DE"; 301] }), "/countries"),
        (json!({ "postal_prefixes": numbers(200) }), ""),
        (
            json!({ "postal_prefixes": numbers(201) }),
            "/postal_prefixes",
        ),
        (bands(50), ""),
        (bands(51), "/bands"),
    ];
    for (changes, expected) in methods {
        let body = with(&method(), changes);
        assert_eq!(faults::<ShippingMethodContent>(&body), expected, "{body}");
    }
    let ids = |count: usize| (0..count).map(|_| ProductId::new()).collect::<Vec<_>>();
    // Fifty of the longest, in a script of three bytes a character.
    let long = numbers(50)
        .into_iter()
        .map(|number| number + &"語".repeat(190));
    let promotions = [
        (json!({ "product_ids": ids(500) }), ""),
        (json!({ "product_ids": ids(501) }), "/product_ids"),
        (json!({ "categories": numbers(50) }), ""),
        (json!({ "categories": numbers(51) }), "/categories"),
        // A fault of the whole, after those of fields.
        (
            json!({ "categories": long.collect::<Vec<_>>(), "uses_max": 0 }),
            "/uses_max ",
        ),
    ];
    for (changes, expected) in promotions {
        let body = with(&promotion(), changes);
        assert_eq!(faults::<PromotionContent>(&body), expected, "{body}");
    }
}

/// The bytes of a row as text, one byte a character.
fn bytes<T: Term>(body: &Value) -> String {
    let row = TermRow {
        content: content::<T>(body),
        created_at: Time(1),
        updated_at: Time(2),
    };
    let bytes = store::encode(&row).unwrap();
    assert_eq!(store::decode::<TermRow<T>>(&bytes).unwrap(), row);
    bytes.escape_ascii().to_string()
}

/// A change here is a change of the stored format.
#[test]
fn golden_bytes() {
    let id = "prod_01h455vb4pex5vsknk084sn02q";
    let all = json!({
        "postal_prefixes": ["10"], "free_from": euros(5000), "delivery_days": [1, 3],
        "tax_class": "post", "active": false, "kind": "flat", "countries": ["*"],
        "bands": [{ "price": euros(1) }],
    });
    assert_eq!(
        bytes::<ShippingMethodContent>(&with(&method(), all)),
        concat!(
            r"\x01\x83\xa7content\x89\xa4name\xa6Parcel\xa4kind\xa4flat\xa9countries\x91\xa1*",
            r"\xafpostal_prefixes\x91\xa210\xa5bands\x91\x82\xa4from\x00\xa5price\x82\xa6amount\x01",
            r"\xa8currency\xa3EUR\xa9free_from\x82\xa6amount\xcd\x13\x88\xa8currency\xa3EUR",
            r"\xa9tax_class\xa4post\xaddelivery_days\x92\x01\x03\xa6active\xc2",
            r"\xaacreated_at\x01\xaaupdated_at\x02",
        )
    );
    assert_eq!(
        bytes::<TaxRateContent>(&with(&rate(), json!({ "region": "Bayern" }))),
        concat!(
            r"\x01\x83\xa7content\x85\xa7country\xa2DE\xa6region\xa6Bayern\xa9tax_class\xa8standard",
            r"\xa7rate_bp\xcd\x07l\xa4name\xa8VAT 19 %\xaacreated_at\x01\xaaupdated_at\x02",
        )
    );
    let all = json!({
        "kind": "amount", "value": euros(1), "minimum": euros(2), "categories": ["A"],
        "product_ids": [id], "from": "1970-01-01T00:00:00.003Z", "until": "1970-01-01T00:00:00.004Z",
        "uses_max": 5, "uses_max_per_buyer": 6, "combinable": true,
    });
    assert_eq!(
        bytes::<PromotionContent>(&with(&promotion(), all)),
        concat!(
            r"\x01\x83\xa7content\x8d\xa4name\xa6Summer\xa4code\xa7Sonne10\xa4kind\xa6amount",
            r"\xa5value\x82\xa6amount\x01\xa8currency\xa3EUR",
            r"\xa7minimum\x82\xa6amount\x02\xa8currency\xa3EUR\xaacategories\x91\xa1A",
            r"\xabproduct_ids\x91\xc4\x10\x01\x89\n]\xac\x96wK\xbc\xce\xb3\x02\t\x9a\x80W",
            r"\xa4from\x03\xa5until\x04\xa8uses_max\x05\xb2uses_max_per_buyer\x06",
            r"\xaacombinable\xc3\xa6active\xc3\xaacreated_at\x01\xaaupdated_at\x02",
        )
    );
    bytes::<PromotionContent>(&promotion());
    let free = json!({ "kind": "free_shipping", "value": null, "code": null });
    bytes::<PromotionContent>(&with(&promotion(), free));
}

struct Shop(
    Store,
    #[expect(dead_code, reason = "deleted with the test")] tempfile::TempDir,
);

impl Shop {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self(Store::open(dir.path(), &Options::default()).unwrap(), dir)
    }

    fn create<T: Term>(&self, body: &Value) -> Result<TermId<T>, Error> {
        let content: T = content(body);
        let created = self.0.write(move |tx| create(tx, content, Time(1)));
        block_on(created).map(|(id, _)| id)
    }

    fn replace<T: Term>(&self, id: TermId<T>, body: &Value) -> Result<TermRow<T>, Error> {
        let content: T = content(body);
        block_on(self.0.write(move |tx| {
            let former = find(tx, id)?;
            replace(tx, id, former, content, Time(2))
        }))
    }

    fn delete<T: Term>(&self, id: TermId<T>) {
        let delete = self.0.write(move |tx| -> Result<(), Error> {
            let former: TermRow<T> = find(tx, id)?;
            Ok(delete(tx, id, &former)?)
        });
        block_on(delete).unwrap();
    }

    fn is_well(&self) -> bool {
        check::compare(&self.0)
            .unwrap()
            .iter()
            .all(chassis::check::Finding::is_well)
    }
}

#[test]
fn pricing_reads_the_shipping_methods() {
    let shop = Shop::open();
    let id = shop.create::<ShippingMethodContent>(&method()).unwrap();
    let off = with(&method(), json!({ "active": false, "countries": ["*"] }));
    let off = shop.create::<ShippingMethodContent>(&off).unwrap();
    let active = priced::active_shipping_methods(&shop.0).unwrap();
    assert_eq!(
        active.iter().map(|method| method.id).collect::<Vec<_>>(),
        [id]
    );
    let listed = ["DE", "AT"].map(|code| code.parse().unwrap()).to_vec();
    assert_eq!(active[0].countries, ServedCountries::Listed(listed));
    let bands = active[0].bands.iter().map(|band| (band.from, band.price));
    assert_eq!(bands.collect::<Vec<_>>(), [(0, 490), (5000, 990)]);
    let off = priced::shipping_method(&shop.0, off).unwrap().unwrap();
    assert_eq!(
        (off.countries, off.is_active),
        (ServedCountries::All, false)
    );
    assert!(shop.is_well());
    shop.delete::<ShippingMethodContent>(id);
    assert_eq!(priced::shipping_method(&shop.0, id).unwrap(), None);
    assert!(shop.is_well());
}

#[test]
fn a_place_and_a_class_have_one_rate() {
    let shop = Shop::open();
    let germany = shop.create::<TaxRateContent>(&rate()).unwrap();
    let bavaria = with(&rate(), json!({ "region": "Bayern", "rate_bp": 700 }));
    let bavaria_id = shop.create::<TaxRateContent>(&bavaria).unwrap();
    shop.create::<TaxRateContent>(&with(&rate(), json!({ "tax_class": "reduced" })))
        .unwrap();
    shop.create::<TaxRateContent>(&with(&rate(), json!({ "country": "DK" })))
        .unwrap();
    for (taken, by) in [
        (rate(), germany),
        (with(&bavaria, json!({ "region": " BAYERN" })), bavaria_id),
    ] {
        let error = shop.create::<TaxRateContent>(&taken).unwrap_err();
        assert!(
            matches!(error, Error::TaxRateTaken(id) if id == by),
            "{error}"
        );
    }
    let rates = priced::tax_rates_of(&shop.0, "DE".parse().unwrap()).unwrap();
    let rates = rates
        .iter()
        .map(|rate| (rate.region.as_deref(), rate.rate_bp));
    assert_eq!(
        rates.collect::<Vec<_>>(),
        [(None, 1900), (None, 1900), (Some("Bayern"), 700)]
    );
    // A rate may be replaced where it stands, and gives its place back when it moves.
    shop.replace::<TaxRateContent>(germany, &with(&rate(), json!({ "rate_bp": 2000 })))
        .unwrap();
    shop.replace::<TaxRateContent>(germany, &with(&rate(), json!({ "country": "FR" })))
        .unwrap();
    assert!(shop.replace::<TaxRateContent>(bavaria_id, &rate()).is_ok());
    assert!(shop.is_well());
    shop.delete::<TaxRateContent>(bavaria_id);
    shop.create::<TaxRateContent>(&rate()).unwrap();
    assert!(shop.is_well());
}

#[test]
fn a_code_is_of_one_promotion() {
    let shop = Shop::open();
    let id = shop.create::<PromotionContent>(&promotion()).unwrap();
    let taken = with(&promotion(), json!({ "code": " SONNE10 " }));
    let error = shop.create::<PromotionContent>(&taken).unwrap_err();
    assert!(matches!(error, Error::CodeTaken(by) if by == id), "{error}");
    let found = priced::promotion_of_code(&shop.0, "sonne10 ")
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.promotion.id, found.promotion.benefit),
        (id, Benefit::Percent(1000))
    );
    assert_eq!(
        (found.promotion.uses_left, found.caps.in_all),
        (UsesLeft::Some, None)
    );
    for unknown in ["", "SOMMER", &"x".repeat(100_000)] {
        assert_eq!(priced::promotion_of_code(&shop.0, unknown).unwrap(), None);
    }
    // It loses its code, and another one may have it.
    let automatic = json!({ "code": null, "kind": "amount", "value": euros(5), "uses_max": 3 });
    shop.replace::<PromotionContent>(id, &with(&promotion(), automatic))
        .unwrap();
    shop.create::<PromotionContent>(&taken).unwrap();
    let automatic = priced::automatic_promotions(&shop.0).unwrap();
    assert_eq!((automatic.len(), automatic[0].caps.in_all), (1, Some(3)));
    let five = Money { amount: 5, currency: "EUR".parse().unwrap() };
    assert_eq!(automatic[0].promotion.benefit, Benefit::Amount(five));
    assert!(shop.is_well());

    let automatic = with(&promotion(), json!({ "code": null }));
    for _ in 1..100 {
        shop.create::<PromotionContent>(&automatic).unwrap();
    }
    let error = shop.create::<PromotionContent>(&automatic).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there are 100 promotions without a code, the most of a shop; delete one of them"
    );
    shop.delete::<PromotionContent>(id);
    shop.create::<PromotionContent>(&automatic).unwrap();
    assert!(shop.is_well());
}

#[test]
fn a_shop_has_so_many_and_no_more() {
    let shop = Shop::open();
    let ids: Vec<_> = (0..200)
        .map(|_| shop.create::<ShippingMethodContent>(&method()).unwrap())
        .collect();
    let error = shop.create::<ShippingMethodContent>(&method()).unwrap_err();
    assert!(
        matches!(error, Error::TooManyTerms { most: 200, .. }),
        "{error}"
    );
    shop.delete::<ShippingMethodContent>(ids[7]);
    shop.create::<ShippingMethodContent>(&method()).unwrap();
    assert!(shop.is_well());
    // The check sees a row that its count does not.
    let row = TermRow {
        content: content(&method()),
        created_at: Time(1),
        updated_at: Time(1),
    };
    let write = shop
        .0
        .write(move |tx| tx.put(ShippingMethodContent::TABLE, &Id::new(), &row));
    let written: Result<(), store::Error> = block_on(write);
    written.unwrap();
    assert!(!shop.is_well());
}
