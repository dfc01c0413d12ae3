//! The hot paths: what a request of a shop does in the libraries, each repeatable.
//!
//! **Invariant:** two runs of one path do the same work: ids, keys and times are constants,
//! and what is read from disk was written once for both.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use chassis::fields::{Fields, ReadFields};
use chassis::token::{AUDIENCE, Claims, ISSUER, KeyPair, VerifyingKey};
use http::Method;
use model::{Id, Kind, Money, TaxClass, Time};
use pricing::{
    Basket, BasketLine, Benefit, PriceBasis, Promotion, ShippingTaxedBy, TaxRate, Terms, UsesLeft,
};
use search::{Document, Facet, Index, SearchRequest, Synonyms};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Record;
use tempfile::TempDir;

/// Two hundred products with the words of a shop.
const CATALOGUE: &str = include_str!("../../src/demo/catalogue.jsonl");
/// A key pair of the official PASERK test vectors.
const SECRET: &str = "k4.secret.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8c5WpIyC_5kWKhS8VEYSZ05dYfuTF-ZdQFV4D9vLTcNQ";
const NOW: Time = Time(1_800_000_000_000);

/// A path by its name.
pub(crate) struct HotPath {
    pub(crate) name: &'static str,
    /// Enough that what background threads do beside it does not count.
    pub(crate) repetitions: u32,
    /// Repeats the path, on what [`Prepared`] wrote into the folder.
    pub(crate) repeat: fn(&Path, u32),
}

pub(crate) const PATHS: [HotPath; 10] = [
    HotPath { name: "token-check", repetitions: 200, repeat: token_check },
    HotPath { name: "route-match", repetitions: 2_000, repeat: route_match },
    HotPath { name: "body-read", repetitions: 500, repeat: body_read },
    HotPath { name: "entity-tag", repetitions: 500, repeat: entity_tag },
    HotPath { name: "page-cursor", repetitions: 2_000, repeat: page_cursor },
    HotPath { name: "price-basket", repetitions: 100, repeat: price_basket },
    HotPath { name: "search-words", repetitions: 100, repeat: search_words },
    HotPath {
        name: "search-misspelt",
        repetitions: 50,
        repeat: search_misspelt,
    },
    HotPath {
        name: "search-facets",
        repetitions: 30,
        repeat: search_facets,
    },
    HotPath { name: "store-record", repetitions: 500, repeat: store_record },
];

/// An index for the paths that read one: each time it is written, its files differ a little.
pub(crate) struct Prepared(TempDir);

impl Prepared {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let index = Index::create(&folder.path().join("index")).expect("an index is made");
        let mut writer = index.writer().expect("it has no other writer");
        for (number, line) in (0..).zip(CATALOGUE.lines()) {
            add(
                &writer,
                number,
                &serde_json::from_str(line).expect("a product"),
            );
        }
        writer.commit(&()).expect("a commit");
        writer.close().expect("merges end");
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }
}

fn add(writer: &search::DocumentWriter, number: i64, product: &Value) {
    let text = |name: &str| product[name].as_str().unwrap_or_default();
    let categories = product["categories"].as_array().into_iter().flatten();
    let categories: Vec<String> = categories
        .filter_map(|path| path.as_str().map(str::to_owned))
        .collect();
    let attributes = product["attributes"].as_object().into_iter().flatten();
    let attributes: BTreeMap<String, String> = attributes
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let document = Document {
        id: constant_id(number),
        sku: text("sku"),
        title: text("title"),
        description: text("description"),
        brand: text("brand"),
        categories: &categories,
        tags: &[],
        attributes: &attributes,
        price: product["price"]["amount"].as_i64().unwrap_or_default(),
        available: true,
        created: number,
        rating: None,
    };
    writer.add(&document).expect("a document is added");
}

fn constant_id<K: Kind>(number: i64) -> Id<K> {
    Id::first_at(Time(NOW.0 + number))
}

fn token_check(_: &Path, repetitions: u32) {
    let pair = KeyPair::parse(SECRET).expect("the vector's key");
    let token = pair.issue(&Claims {
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: constant_id(1),
        sid: constant_id(2),
        exp: NOW,
        nbf: NOW,
        iat: NOW,
        jti: "a".into(),
        roles: Vec::new(),
        scopes: None,
        key: None,
    });
    let key = VerifyingKey::parse(&pair.public_text()).expect("its public half");
    for _ in 0..repetitions {
        black_box(key.verified(black_box(&token)).expect("its own token"));
    }
}

fn route_match(_: &Path, repetitions: u32) {
    let path = "/v1/orders/order_01h455vb4pex5vsknk084sn02q/history";
    for _ in 0..repetitions {
        black_box(api::find(&Method::GET, black_box(path)));
    }
}

/// The body of an order.
struct OrderBody {
    items: Vec<(String, u32)>,
    note: Option<String>,
}

struct OrderItem {
    product_id: String,
    quantity: u32,
}

impl ReadFields for OrderItem {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let product_id = fields.required_value("product_id");
        let quantity = fields.required_value("quantity");
        Some(Self { product_id: product_id?, quantity: quantity? })
    }
}

impl ReadFields for OrderBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let listed = fields.list("items", 100);
        let items = listed.into_iter().filter_map(|(pointer, raw)| {
            let item: OrderItem = fields.object_at(&pointer, raw)?;
            Some((item.product_id, item.quantity))
        });
        let items = items.collect();
        let note = fields.value("note");
        Some(Self { items, note })
    }
}

fn body_read(_: &Path, repetitions: u32) {
    let items = (0..5).map(|number| {
        let id: Id<model::kinds::Product> = constant_id(number);
        json!({"product_id": id, "quantity": number + 1})
    });
    let items: Vec<Value> = items.collect();
    let body = json!({"items": items, "note": "Please ring twice."}).to_string();
    for _ in 0..repetitions {
        let read = Fields::read_text::<OrderBody>(black_box(body.as_bytes()));
        let order = read.expect("a valid body");
        black_box((order.items, order.note));
    }
}

fn entity_tag(_: &Path, repetitions: u32) {
    let product = CATALOGUE.lines().next().expect("a product");
    for _ in 0..repetitions {
        black_box(chassis::etag::of(black_box(product.as_bytes())));
    }
}

fn page_cursor(_: &Path, repetitions: u32) {
    let id: Id<model::kinds::Order> = constant_id(7);
    for _ in 0..repetitions {
        black_box(chassis::page::cursor(black_box(&(NOW, id))));
    }
}

/// Twenty lines of two categories, two tax rates and two promotions.
fn price_basket(_: &Path, repetitions: u32) {
    let (germany, euro) = ("DE".parse(), "EUR".parse());
    let (germany, euro) = (germany.expect("a country"), euro.expect("a currency"));
    let reduced: TaxClass = "reduced".parse().expect("a tax class");
    let standard = TaxClass::default();
    let rate = |tax_class: &TaxClass, rate_bp| TaxRate {
        country: germany,
        region: None,
        tax_class: tax_class.clone(),
        rate_bp,
        name: "VAT".into(),
    };
    let rates = [rate(&standard, 1_900), rate(&reduced, 700)];
    let promotion = |number, code: Option<&str>, categories: &[&str]| Promotion {
        id: constant_id(number),
        code: code.map(str::to_owned),
        benefit: Benefit::Percent(1_000),
        minimum: None,
        categories: categories.iter().map(|path| (*path).to_owned()).collect(),
        product_ids: Vec::new(),
        from: None,
        until: None,
        is_combinable: true,
        is_active: true,
        uses_left: UsesLeft::Some,
    };
    let promotions = [
        promotion(1, None, &["Home > Lighting"]),
        promotion(2, Some("SPRING"), &[]),
    ];
    let terms = Terms {
        price_basis: PriceBasis::Gross,
        home_country: germany,
        shipping_taxed_by: ShippingTaxedBy::Method,
        tax_rates: &rates,
        promotions: &promotions,
    };
    let lines = (0..20u32).map(|number| BasketLine {
        product_id: constant_id(number.into()),
        quantity: 1 + number % 3,
        unit_price: Money { amount: 999 + i64::from(number) * 250, currency: euro },
        tax_class: if number % 4 == 0 { &reduced } else { &standard },
        weight_g: 300,
        requires_shipping: true,
        categories: vec![if number % 2 == 0 { "Home > Lighting" } else { "Garden" }],
    });
    let codes = ["spring".to_owned()];
    let basket = Basket {
        currency: euro,
        lines: lines.collect(),
        ship_to: None,
        shipping_method: None,
        codes: &codes,
    };
    for _ in 0..repetitions {
        let priced = pricing::price(black_box(&basket), &terms, NOW);
        black_box(priced.expect("a basket within its bounds"));
    }
}

fn search_words(folder: &Path, repetitions: u32) {
    search(folder, repetitions, "desk lamp", Vec::new());
}

fn search_misspelt(folder: &Path, repetitions: u32) {
    search(folder, repetitions, "cermaic mug", Vec::new());
}

fn search_facets(folder: &Path, repetitions: u32) {
    let facets = [("brand", Facet::Brand), ("category", Facet::Category)];
    let facets = facets.map(|(name, facet)| (name.to_owned(), facet));
    search(folder, repetitions, "steel", facets.to_vec());
}

fn search(folder: &Path, repetitions: u32, text: &str, facets: Vec<(String, Facet)>) {
    let index = Index::open::<()>(&folder.join("index"));
    let (index, ()) = index.unwrap_or_else(|_| panic!("the index opens"));
    let request = SearchRequest {
        text: text.to_owned(),
        facets,
        facet_limit: 10,
        limit: 20,
        ..SearchRequest::default()
    };
    let synonyms = Synonyms::default();
    for _ in 0..repetitions {
        let hits = index.search(black_box(&request), &synonyms);
        let hits = hits.expect("the index can be read");
        assert!(hits.total > 0, "{text} finds something");
        black_box(hits);
    }
}

/// A row such as a service keeps of an order.
#[derive(Serialize, Deserialize)]
struct OrderRow {
    buyer: Id<model::kinds::User>,
    placed_at: Time,
    status: String,
    lines: Vec<(Id<model::kinds::Product>, String, u32, Money)>,
}

impl Record for OrderRow {}

/// Writing a row and reading it back. The rest of a transaction is work of threads that wait
/// for one another, whose instructions differ from run to run.
fn store_record(_: &Path, repetitions: u32) {
    let euro = "EUR".parse().expect("a currency");
    let lines = (0..5).map(|number| {
        let price = Money { amount: 1_999, currency: euro };
        (
            constant_id(number),
            "Ceramic table lamp".to_owned(),
            2,
            price,
        )
    });
    let row = OrderRow {
        buyer: constant_id(1),
        placed_at: NOW,
        status: "confirmed".to_owned(),
        lines: lines.collect(),
    };
    for _ in 0..repetitions {
        let bytes = store::encode(black_box(&row)).expect("a row within its bounds");
        let read: OrderRow = store::decode(black_box(&bytes)).expect("its own bytes");
        black_box((read.buyer, read.placed_at, read.status, read.lines));
    }
}
