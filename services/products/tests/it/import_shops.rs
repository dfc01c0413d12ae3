//! Product exports of other shops.

use serde_json::json;
use testkit::TestService;

use crate::import_files::{counts, failures, import_csv, product};

const SHOPIFY: &str = "\u{feff}Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Inventory Qty,Variant Price,Variant Taxable,Image Src,Variant Image,Status\r
oak-lamp,Oak Lamp,\"<p>Made of \"\"oak\"\".</p>\r
<ul><li>Dimmable</li></ul>\",Mori,Home & Garden > Lighting > Lamps,Lamp,\"warm, wood\",TRUE,Colour,Natural,Size,S,OAK-N,5,19.99,TRUE,https://cdn.example/1.jpg,https://cdn.example/n.jpg,active\r
oak-lamp,,,,,,,,,Black,,L,OAK-B,-2,24.5,TRUE,https://cdn.example/2.jpg,,\r
oak-lamp,,,,,,,,,White,,L,,1,24.50,TRUE,,,\r
oak-lamp,,,,,,,,,,,,,,,,https://cdn.example/3.jpg,,\r
\r
rug,Rug,,,,Rugs,,FALSE,Title,Default Title,,,RUG,,99,TRUE,,,active\r
";

/// Shopify's older columns: variants, pictures, a variant without a SKU, two products.
#[tokio::test(flavor = "multi_thread")]
async fn a_product_export_of_shopify_is_read() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let first = import_csv(&staff, "?currency=USD", SHOPIFY).await;
    assert_eq!(counts(&first), [4, 4, 0, 0, 0], "{first}");
    assert_eq!(first["ignored_columns"], json!([]));
    let lamp = product(&staff, "OAK-N").await;
    let expected = json!({
        "title": "Oak Lamp – Natural / S", "description": "Made of \"oak\".\nDimmable",
        "brand": "Mori", "categories": ["Home & Garden > Lighting > Lamps"], "tags": ["warm", "wood"],
        "price": { "amount": 1999, "currency": "USD" }, "status": "published", "available": true,
        "attributes": { "Colour": "Natural", "Size": "S" },
        "images": ["https://cdn.example/n.jpg", "https://cdn.example/1.jpg",
            "https://cdn.example/2.jpg", "https://cdn.example/3.jpg"],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&lamp[name], value, "{name}");
    }
    let black = product(&staff, "OAK-B").await;
    assert_eq!(
        (&black["price"]["amount"], &black["available"]),
        (&json!(2450), &json!(false))
    );
    let white = product(&staff, "oak-lamp-white-l").await;
    assert_eq!(
        (&white["title"], &white["available"]),
        (&json!("Oak Lamp – White / L"), &json!(true))
    );
    let rug = product(&staff, "RUG").await;
    assert_eq!(
        (&rug["title"], &rug["status"], &rug["categories"]),
        (&json!("Rug"), &json!("draft"), &json!(["Rugs"]))
    );
    assert_eq!(
        counts(&import_csv(&staff, "?currency=USD", SHOPIFY).await),
        [4, 0, 0, 4, 0]
    );
    app.finish().await;
}

/// A sheet was sorted, so rows of one handle lie apart; another has few columns.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_shopify_product_may_lie_apart() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let apart = "Handle,Title,Vendor,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src,Image Position,Status\n\
        mug,Mug,Lumi,Colour,White,MUG-W,9,https://a.test/2.jpg,2,active\n\
        bowl,Bowl,Lumi,Title,Default Title,BOWL,12,,,active\n\
        mug,,,,Black,MUG-B,9,,,\n\
        mug,,,,,,,https://a.test/1.jpg,1,\n\
        lost,,,,Red,LOST,9,,,\n";
    let summary = import_csv(&staff, "", apart).await;
    assert_eq!(
        (counts(&summary), failures(&summary)),
        ([4, 3, 0, 0, 1], vec![(6, "/title".into())])
    );
    let mug = product(&staff, "MUG-B").await;
    assert_eq!(
        (&mug["title"], &mug["brand"], &mug["images"]),
        (
            &json!("Mug – Black"),
            &json!("Lumi"),
            &json!(["https://a.test/1.jpg", "https://a.test/2.jpg"])
        )
    );
    // A price list in Shopify's columns changes prices and nothing else.
    let prices = import_csv(
        &staff,
        "",
        "Handle,Variant SKU,Variant Price\nmug,MUG-B,8\n",
    )
    .await;
    assert_eq!(counts(&prices), [1, 0, 1, 0, 0], "{prices}");
    let mut cheaper = product(&staff, "MUG-B").await;
    assert_eq!(
        cheaper["price"],
        json!({ "amount": 800, "currency": "EUR" })
    );
    for name in ["price", "updated_at"] {
        cheaper[name] = mug[name].clone();
    }
    assert_eq!(cheaper, mug);
    // One SKU for two variants names one of them.
    let twice = "Handle,Title,Variant SKU,Variant Price,Option1 Name,Option1 Value\nsame,Same,TWICE,5,Size,S\nsame,,TWICE,6,Size,M\n";
    assert_eq!(
        failures(&import_csv(&staff, "", twice).await),
        [(3, "/sku".to_owned())]
    );
    app.finish().await;
}

/// Shopify's present columns, without any SKU, with more pictures than a product may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_shopify_export_without_skus_is_read() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let mut file = "\u{feff}Title,URL handle,Description,Vendor,Type,Tags,Published on online store,Status,SKU,Option1 name,Option1 value,Price,Compare-at price,Inventory tracker,Inventory quantity,Continue selling when out of stock,Product image URL,Image position\n\
        Clay pot,clay-pot,<table><tr><td>Weight</td><td>2 kg</td></tr></table>,Holm,Pots,garden,TRUE,Active,,Size,Large,19.00,25.00,shopify,3,DENY,https://a.test/0.jpg,1\n\
        ,clay-pot,,,,,,,,,Small / flat,9.00,,,0,CONTINUE,,\n\
        ,clay-pot,,,,,,,,,Made for you,29.00,,shopify,0,CONTINUE,,\n".to_owned();
    for number in (1..=25).rev() {
        file += &format!(
            ",clay-pot,,,,,,,,,,,,,,,https://a.test/{number}.jpg,{}\n",
            number + 1
        );
    }
    for round in [[3, 3, 0, 0, 0], [3, 0, 0, 3, 0]] {
        let summary = import_csv(&staff, "", &file).await;
        assert_eq!(counts(&summary), round, "{summary}");
        assert_eq!(summary["ignored_columns"], json!(["Compare-at price"]));
        let images = summary["images_ignored"].as_array().unwrap();
        assert_eq!(
            (images.len(), &images[0]),
            (18, &json!("https://a.test/20.jpg"))
        );
    }
    let pot = product(&staff, "clay-pot-large").await;
    assert_eq!(
        (&pot["title"], &pot["description"], &pot["status"]),
        (
            &json!("Clay pot – Large"),
            &json!("Weight 2 kg"),
            &json!("published")
        )
    );
    assert_eq!(pot["images"][19], "https://a.test/19.jpg");
    for (sku, policy) in [
        ("clay-pot-large", "tracked"),
        ("clay-pot-small-flat", "untracked"),
        ("clay-pot-made-for-you", "backorder"),
    ] {
        let pot = product(&staff, sku).await;
        assert_eq!(
            (&pot["stock_policy"], &pot["available"]),
            (&json!(policy), &json!(true)),
            "{sku}"
        );
    }
    assert_eq!(
        product(&staff, "clay-pot-small-flat").await["price"]["amount"],
        900
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_export_of_woocommerce_is_read() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let file = "ID,Type,SKU,Name,Published,\"Short description\",Description,\"In stock?\",Stock,\"Sale price\",\"Regular price\",Categories,Tags,Images,Parent,Brands,\"Attribute 1 name\",\"Attribute 1 value(s)\"\n\
        12,variable,HOOD,Harbour hoodie,1,,<p>Warm.</p>,1,,,,\"Clothing > Hoodies\\, Sale, New\",\"soft, Soft, warm\\, dry\",\"https://a.test/h.jpg, https://a.test/i.jpg\",,Harbour,Colour,\"Blue, Green\"\n\
        13,variation,HOOD-B,Harbour hoodie - Blue,1,,,1,5,35,45,,,,HOOD,,Colour,Blue\n\
        14,variation,,Harbour hoodie,1,,,1,,,45,,,https://a.test/g.jpg,id:12,,Colour,Green\n\
        15,\"simple, virtual\",GUIDE,Care guide,-1,Short.,,1,,,\"4,00\",Books,,,,,,\n\
        16,grouped,SET,Set,1,,,1,,,,,,,,,,\n\
        17,variation,LOST,Lost,1,,,1,1,,5,,,,GONE,,,\n";
    let summary = import_csv(&staff, "", file).await;
    assert_eq!(
        failures(&summary),
        [(6, String::new()), (7, String::new())],
        "{summary}"
    );
    assert_eq!(counts(&summary), [5, 3, 0, 0, 2]);
    assert_eq!(summary["ignored_columns"], json!(["Sale price"]));
    for (sku, policy) in [("HOOD-B", "tracked"), ("GUIDE", "untracked")] {
        assert_eq!(product(&staff, sku).await["stock_policy"], policy, "{sku}");
    }
    let blue = product(&staff, "HOOD-B").await;
    let expected = json!({
        "title": "Harbour hoodie - Blue", "description": "Warm.", "brand": "Harbour",
        "categories": ["Clothing > Hoodies, Sale", "New"], "status": "published", "available": true,
        "price": { "amount": 4500, "currency": "EUR" }, "attributes": { "Colour": "Blue" },
        "tags": ["soft", "warm, dry"],
        "images": ["https://a.test/h.jpg", "https://a.test/i.jpg"],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&blue[name], value, "{name}");
    }
    let green = product(&staff, "woo-14").await;
    assert_eq!(
        (&green["title"], &green["images"]),
        (
            &json!("Harbour hoodie – Green"),
            &json!(["https://a.test/g.jpg"])
        )
    );
    let guide = product(&staff, "GUIDE").await;
    assert_eq!(
        (
            &guide["description"],
            &guide["status"],
            &guide["price"]["amount"]
        ),
        (&json!("Short."), &json!("draft"), &json!(400))
    );
    assert_eq!(counts(&import_csv(&staff, "", file).await), [5, 0, 0, 3, 2]);
    app.finish().await;
}

/// Exports of sites in other languages, each with a product of two variations.
#[tokio::test(flavor = "multi_thread")]
async fn a_woocommerce_export_is_read_in_the_language_of_its_site() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    for (language, header, ignored) in [
        (
            "de",
            "ID,Typ,Artikelnummer,\"GTIN, UPC, EAN oder ISBN\",Name,Veröffentlicht,Kurzbeschreibung,Beschreibung,Vorrätig?,Bestand,\"Lieferrückstände erlaubt?\",Angebotspreis,\"Regulärer Preis\",Kategorien,Schlagwörter,Bilder,\"Übergeordnetes Produkt\",Marken,\"Attribut 1 Name\",\"Attribut 1 Wert(e)\"",
            "Angebotspreis",
        ),
        (
            "fr",
            "ID,Type,UGS,\"GTIN, UPC, EAN ou ISBN\",Nom,Publié,\"Description courte\",Description,\"En stock\u{a0}?\",Stock,\"Autoriser les commandes de produits en rupture\u{a0}?\",\"Tarif promo\",\"Tarif régulier\",Catégories,Étiquettes,Images,Parent,Marques,\"Nom de l’attribut 1\",\"Valeur(s) de l’attribut 1 \"",
            "Tarif promo",
        ),
        (
            "es",
            "ID,Tipo,SKU,\"GTIN, UPC, EAN o ISBN\",Nombre,Publicado,\"Descripción corta\",Descripción,¿Existencias?,Inventario,\"¿Permitir reservas de productos agotados?\",\"Precio rebajado\",\"Precio normal\",Categorías,Etiquetas,Imágenes,Superior,Marcas,\"Nombre del atributo 1\",\"Valor(es) del atributo 1\"",
            "Precio rebajado",
        ),
    ] {
        let file = format!(
            "\u{feff}{header}\n\
            1,variable,{language},,Chair,1,Short.,<p>Long.</p>,1,,0,,,Home > Chairs,\"wood, oak\",https://a.test/c.jpg,,Mori,Colour,\"Red, Blue\"\n\
            2,variation,{language}-r,0884420588030,Chair,1,,,1,3,0,45,\"59,90\",,,,{language},,Colour,Red\n\
            3,variation,{language}-b,,Chair,1,,,1,0,notify,,60,,,,id:1,,Colour,Blue\n"
        );
        let summary = import_csv(&staff, "", &file).await;
        assert_eq!(counts(&summary), [2, 2, 0, 0, 0], "{language}: {summary}");
        assert_eq!(summary["ignored_columns"], json!([ignored]));
        let red = product(&staff, &format!("{language}-r")).await;
        let expected = json!({
            "title": "Chair – Red", "description": "Long.", "brand": "Mori", "status": "published",
            "categories": ["Home > Chairs"], "tags": ["wood", "oak"], "images": ["https://a.test/c.jpg"],
            "price": { "amount": 5990, "currency": "EUR" }, "stock_policy": "tracked", "available": true,
            "attributes": { "Colour": "Red", "barcode": "0884420588030" },
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&red[name], value, "{language}: {name}");
        }
        let blue = product(&staff, &format!("{language}-b")).await;
        assert_eq!(blue["stock_policy"], "backorder", "{language}");
    }
    // WooCommerce protects spreadsheets with an apostrophe, which is no part of the text.
    let file = "ID,SKU,Name,Regular price,Description,Attribute 1 name,Attribute 1 value(s)\n\
        1,M,'-20 °C mitten,9,'+5 pockets,Size,'tis\n";
    assert_eq!(counts(&import_csv(&staff, "", file).await)[1], 1);
    let mitten = product(&staff, "M").await;
    assert_eq!(
        (
            &mitten["title"],
            &mitten["description"],
            &mitten["attributes"]["Size"]
        ),
        (
            &json!("-20 °C mitten"),
            &json!("+5 pockets"),
            &json!("'tis")
        )
    );
    app.finish().await;
}

/// A description that is too long loses its end, and the summary says of which products.
#[tokio::test(flavor = "multi_thread")]
async fn descriptions_are_cut_to_what_a_product_may_have() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    let prose = "Warm and soft. ".repeat(800);
    let (japanese, whole) = ("あたたかい手袋。".repeat(1_500), "x".repeat(8_000));
    for (number, text, kept) in [
        (1, format!("<p>{prose}</p>"), 7_990..=8_000),
        (2, japanese, 5_000..=5_462),
        (3, format!("<b>{whole}</b>"), 8_000..=8_000),
    ] {
        let files = [
            format!("Handle,Title,Body (HTML),Variant SKU,Variant Price\nx,X,{text},S{number},5\n"),
            format!("ID,SKU,Name,Regular price,Description\n1,W{number},X,5,{text}\n"),
        ];
        for (file, sku) in files
            .iter()
            .zip([format!("S{number}"), format!("W{number}")])
        {
            let cut = if number == 3 { json!([]) } else { json!([sku]) };
            for outcome in [[1, 1, 0, 0, 0], [1, 0, 0, 1, 0]] {
                let summary = import_csv(&staff, "", file).await;
                assert_eq!(counts(&summary), outcome, "{sku}: {summary}");
                assert_eq!(summary["descriptions_cut"], cut);
            }
            let shown = product(&staff, &sku).await["description"].clone();
            let shown = shown.as_str().unwrap();
            assert!(
                kept.contains(&shown.chars().count()),
                "{sku}: {}",
                shown.chars().count()
            );
            assert_eq!(shown.ends_with('…'), number != 3);
        }
    }
    // A whole document of JSON has no end to lose: it fails, and says why.
    let line = json!({ "sku": "J", "title": "J", "price": { "amount": 1, "currency": "EUR" }, "description": prose });
    let failed = crate::import(&staff, line.to_string()).await.body;
    assert_eq!(failures(&failed), [(1, "/description".to_owned())]);
    app.finish().await;
}
