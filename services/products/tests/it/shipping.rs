//! What shipping and tax need of a product: its weight, its tax class, and whether it is sent.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::TestService;

use crate::import_files::{counts, failures, import_csv, product};
use crate::{import, lamp, make, with};

/// The weight, the tax class, and whether it is sent.
fn traits(product: &Value) -> Value {
    json!([
        product["weight_g"],
        product["tax_class"],
        product["requires_shipping"]
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_has_a_weight_and_a_tax_class() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let path = make(&staff, lamp("A1")).await;
    let plain = json!([null, "standard", true]);
    let shown = staff.get(&path).await.body;
    assert_eq!(traits(&shown), plain);
    assert!(shown.get("weight_g").is_none(), "{shown}");
    for (change, expected) in [
        (json!({ "weight_g": 1200 }), json!([1200, "standard", true])),
        (
            json!({ "tax_class": " reduced " }),
            json!([1200, "reduced", true]),
        ),
        (
            json!({ "requires_shipping": false }),
            json!([1200, "reduced", false]),
        ),
        (
            json!({ "weight_g": 0, "tax_class": "" }),
            json!([0, "standard", false]),
        ),
        (
            json!({ "weight_g": null, "requires_shipping": null }),
            plain.clone(),
        ),
        (
            json!({ "weight_g": 1_000_000, "tax_class": "zero-rate_2" }),
            json!([1_000_000, "zero-rate_2", true]),
        ),
    ] {
        let changed = with(&staff, Method::PATCH, &path, change.clone()).await;
        assert_eq!(
            (changed.status, traits(&changed.body)),
            (200, expected.clone()),
            "{change}"
        );
        // A listed product is made of its row.
        let listed = app.anonymous().get("/v1/products").await.body;
        assert_eq!(traits(&listed["items"][0]), expected, "{change}");
    }
    for (change, pointer) in [
        (json!({ "weight_g": -1 }), "/weight_g"),
        (json!({ "weight_g": 1_000_001 }), "/weight_g"),
        (json!({ "weight_g": 1.5 }), "/weight_g"),
        (json!({ "tax_class": "Reduced" }), "/tax_class"),
        (json!({ "tax_class": "a".repeat(41) }), "/tax_class"),
        (json!({ "requires_shipping": "no" }), "/requires_shipping"),
    ] {
        let refused = with(&staff, Method::PATCH, &path, change.clone()).await;
        let fault = &refused.body["errors"][0]["pointer"];
        assert_eq!((refused.status, fault), (422, &json!(pointer)), "{change}");
    }
    let replaced = with(&staff, Method::PUT, &path, lamp("A1")).await;
    assert_eq!(
        traits(&replaced.body),
        plain,
        "what a PUT leaves out is at its default"
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_have_weights_and_tax_classes() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    for sku in ["A", "B", "C"] {
        make(&staff, lamp(sku)).await;
    }
    let file = "sku,weight_g,tax_class,requires_shipping\nA,250,reduced,FALSE\nB,\"0,4\",Standard,\nC,\"1,500\",,maybe\n";
    let summary = import_csv(&staff, "", file).await;
    let faults = vec![(4, "/weight_g /requires_shipping".to_owned())];
    assert_eq!(
        (counts(&summary), failures(&summary)),
        ([3, 0, 2, 0, 1], faults),
        "{summary}"
    );
    assert_eq!(
        traits(&product(&staff, "A").await),
        json!([250, "reduced", false])
    );
    assert_eq!(
        traits(&product(&staff, "B").await),
        json!([0, "standard", true])
    );
    for kind in ["csv", "ndjson"] {
        let request = staff.request(Method::GET, &format!("/v1/products/export?format={kind}"));
        let exported = request.send().await.unwrap().text().await.unwrap();
        let summary = match kind {
            "csv" => import_csv(&staff, "", &exported).await,
            _ => import(&staff, exported.clone()).await.body,
        };
        assert_eq!(counts(&summary), [3, 0, 0, 3, 0], "{exported}");
    }
    // A file without the columns leaves them alone, and empty cells clear them.
    assert_eq!(
        counts(&import_csv(&staff, "", "sku,brand\nA,Mori\n").await)[2],
        1
    );
    assert_eq!(
        traits(&product(&staff, "A").await),
        json!([250, "reduced", false])
    );
    import_csv(
        &staff,
        "",
        "sku,weight_g,tax_class,requires_shipping\nA,,,\n",
    )
    .await;
    assert_eq!(
        traits(&product(&staff, "A").await),
        json!([null, "standard", true])
    );
    app.finish().await;
}

/// Shopify's columns, then and now, and those of WooCommerce in several languages and units.
#[tokio::test(flavor = "multi_thread")]
async fn weights_and_taxes_of_other_shops_are_read() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    for (file, expected) in [
        (
            "Handle,Title,Variant SKU,Variant Price,Variant Grams,Variant Requires Shipping,Variant Taxable\n\
            a,A,SA,1,1250.0,true,true\n\
            b,B,SB,1,0,false,false\n\
            c,C,SC,1,,,\n",
            &[
                ("SA", json!([1250, "standard", true])),
                ("SB", json!([0, "exempt", false])),
                ("SC", json!([null, "standard", true])),
            ][..],
        ),
        (
            "Title,URL handle,SKU,Price,Weight value (grams),Requires shipping,Charge tax\n\
            D,d,SD,1,80,FALSE,FALSE\n",
            &[("SD", json!([80, "exempt", false]))],
        ),
        // A price list says nothing of them.
        (
            "Handle,Variant SKU,Variant Price\na,SA,2\n",
            &[("SA", json!([1250, "standard", true]))],
        ),
        (
            "ID,Type,SKU,Name,Regular price,Weight (kg),Tax status,Tax class,Parent\n\
            1,variable,WA,A,,1.5,taxable,reduced-rate,\n\
            2,variation,WA-1,A,1,,taxable,parent,WA\n\
            3,variation,WA-2,A,1,0.25,none,,WA\n\
            4,\"simple, downloadable, virtual\",WB,B,1,,taxable,Zero rate,\n\
            5,\"simple, downloadable\",WC,C,1,,taxable,,\n",
            &[
                ("WA-1", json!([1500, "reduced-rate", true])),
                ("WA-2", json!([250, "exempt", true])),
                ("WB", json!([null, "zero-rate", false])),
                ("WC", json!([null, "standard", true])),
            ],
        ),
        (
            "ID,Typ,Artikelnummer,Name,\"Regulärer Preis\",\"Gewicht (g)\",Steuerstatus,Steuerklasse\n1,simple,WD,D,1,300,taxable,reduced-rate\n",
            &[("WD", json!([300, "reduced-rate", true]))],
        ),
        (
            "ID,Type,UGS,Nom,\"Tarif régulier\",\"Poids (lbs)\",\"État de la TVA\",\"Classe de TVA\"\n1,simple,WE,E,1,2,none,\n",
            &[("WE", json!([907, "exempt", true]))],
        ),
        (
            "ID,Tipo,SKU,Nombre,\"Precio normal\",\"Peso (oz)\",\"Estado del impuesto\",\"Clase de impuesto\"\n1,simple,WF,F,1,8,taxable,\n",
            &[("WF", json!([227, "standard", true]))],
        ),
    ] {
        let summary = import_csv(&staff, "", file).await;
        assert_eq!(
            (&summary["failed"], &summary["ignored_columns"]),
            (&json!(0), &json!([])),
            "{summary}"
        );
        for (sku, expected) in expected {
            assert_eq!(traits(&product(&staff, sku).await), *expected, "{sku}");
        }
        assert_eq!(counts(&import_csv(&staff, "", file).await)[2], 0, "{file}");
    }
    app.finish().await;
}
