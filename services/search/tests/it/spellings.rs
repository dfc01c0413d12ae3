//! Spellings of one word find one another.

use search::Synonyms;

use crate::Shop;

const PRODUCTS: &[(&str, &str)] = &[
    ("iphone-15", "Apple iPhone 15 128 GB black"),
    ("iphone-15-pro", "Apple iPhone 15 Pro 256GB titanium"),
    ("iphone-14", "Apple iPhone 14 128GB blue"),
    ("drive-16", "Flash drive 16 GB"),
    ("drive-16-metal", "Flash drive 16GB metal"),
    ("drive-32", "Flash drive 32 GB"),
    ("lens-50", "Prime lens 50 mm f/1.8"),
    ("lens-70", "Zoom lens 70-200mm f/2.8"),
    ("lens-35", "Camera lens 35mm"),
    ("jack", "Jack cable 3.5 mm"),
    ("kettle", "Travel kettle 1.5 l"),
    ("urn", "Catering urn 15l"),
    ("router", "Wi-Fi 6 router"),
    ("extender", "WiFi range extender"),
    ("shirt", "Men's T-Shirt navy"),
    ("shirt-dress", "Tshirt dress striped"),
    ("bike", "E-Bike city 500 Wh"),
    ("bike-helmet", "Ebike helmet"),
    ("usb-cable", "USB-C cable 2 m"),
    ("usb-hub", "USBC hub 7-in-1"),
    ("usb-plug", "USB C wall plug"),
    ("belt", "H&M belt"),
    ("socks", "HM socks"),
    ("drill", "Twist drill DIN338 5,5 mm"),
    ("drill-5", "Twist drill DIN338 5 mm"),
    ("pipe", "Copper pipe 1/2 inch"),
    ("bull", "Red Bull energy drink 250 ml"),
    ("droid", "R2-D2 plush"),
    ("battery", "Battery 10,000 mAh"),
    ("shelf", "Floating wall shelf oak"),
    ("knife", "Chef knife 20 cm"),
    ("mouse", "Wireless mouse"),
    ("woman", "Coat for woman"),
    ("shampoo", "L'Oréal shampoo"),
    ("creme", "Cre\u{300}me bru\u{302}le\u{301}e torch"),
    ("jeans", "Ro\u{308}hrenjeans"),
    ("shawl", "İPEK ŞAL"),
    ("kana", "ﾌﾟﾗｽﾁｯｸ 収納ケース"),
    ("wide", "ＵＳＢ－Ａ ケーブル"),
    ("office", "O\u{fb03}ce chair"),
    ("rug", "Storage rug 5 m²"),
    ("machine", "Kaffee\u{ad}maschine"),
];

#[test]
fn each_spelling_finds_all() {
    let shop = Shop::of(PRODUCTS.iter().copied());
    for (typed, expected) in [
        ("wifi", &["extender", "router"] as &[_]),
        ("wi-fi", &["extender", "router"]),
        ("tshirt", &["shirt", "shirt-dress"]),
        ("t-shirt", &["shirt", "shirt-dress"]),
        ("T Shirt", &["shirt", "shirt-dress"]),
        ("ebike", &["bike", "bike-helmet"]),
        ("e-bike", &["bike", "bike-helmet"]),
        ("usbc", &["usb-cable", "usb-hub", "usb-plug"]),
        ("usb-c", &["usb-cable", "usb-hub", "usb-plug"]),
        ("usb c", &["usb-cable", "usb-hub", "usb-plug"]),
        ("h&m", &["belt", "socks"]),
        ("hm", &["belt", "socks"]),
        ("iphone15", &["iphone-15", "iphone-15-pro"]),
        ("iphone15pro", &["iphone-15-pro"]),
        ("16gb", &["drive-16", "drive-16-metal"]),
        ("16 GB ", &["drive-16", "drive-16-metal"]),
        ("50mm", &["lens-50"]),
        ("f2.8", &["lens-70"]),
        ("70200", &["lens-70"]),
        ("5,5", &["drill"]),
        ("10000mah", &["battery"]),
        ("1/2\"", &["pipe"]),
        ("redbull", &["bull"]),
        ("r2d2", &["droid"]),
        ("shelves", &["shelf"]),
        ("knives", &["knife"]),
        ("mice", &["mouse"]),
        ("women", &["woman"]),
        ("l'oreal", &["shampoo"]),
        ("loreal", &["shampoo"]),
        ("crème brûlée", &["creme"]),
        ("röhrenjeans", &["jeans"]),
        ("ipek şal", &["shawl"]),
        ("プラスチック", &["kana"]),
        ("usb-a", &["wide"]),
        ("office chair", &["office"]),
        ("5 m2", &["rug"]),
        ("kaffeemaschine", &["machine"]),
    ] {
        let mut found = shop.find(typed);
        // Products that have all words come first, then those that lack one.
        found.truncate(expected.len());
        found.sort_unstable();
        assert_eq!(found, expected, "{typed}");
        assert!(!shop.search(typed).page.is_empty());
    }
}

#[test]
fn the_right_one_is_first_and_a_decimal_is_no_other_number() {
    let shop = Shop::of(PRODUCTS.iter().copied());
    for (typed, first) in [
        ("iphone 15 128gb", "iphone-15"),
        ("iphone 14 128 gb", "iphone-14"),
        ("3.5 mm", "jack"),
        ("3.5mm", "jack"),
        ("1.5l", "kettle"),
        ("15l", "urn"),
        ("5 mm", "drill-5"),
        ("5.5mm", "drill"),
    ] {
        assert_eq!(shop.find(typed).first(), Some(&first), "{typed}");
    }
    assert_eq!(shop.find("3.5mm"), ["jack"]);
    assert_eq!(shop.find("1.5l"), ["kettle"]);
}

#[test]
fn signs_alone_find_nothing_and_no_text_finds_everything() {
    let shop = Shop::of(PRODUCTS.iter().copied());
    for typed in ["!!!", "🎁", "\"", "%", "\\", "- - -", &"x".repeat(200)] {
        assert!(shop.find(typed).is_empty(), "{typed}");
    }
    for typed in ["", "  "] {
        assert_eq!(shop.find(typed).len(), PRODUCTS.len(), "{typed:?}");
    }
}

#[test]
fn synonyms_hold_for_every_spelling() {
    let mut shop = Shop::of(PRODUCTS.iter().copied());
    let (synonyms, faults) = Synonyms::parse("tee, t-shirt\nwlan, wi-fi\n");
    assert_eq!(faults, []);
    shop.synonyms = synonyms;
    for (typed, count) in [("tee", 2), ("wlan", 2), ("wi-fi", 2), ("wifi", 2)] {
        assert_eq!(shop.find(typed).len(), count, "{typed}");
    }
}

#[test]
fn completions_are_spelled_as_in_the_catalogue() {
    let shop = Shop::of([
        ("shirt", "Men's T-Shirt navy"),
        ("cable", "USB-C cable"),
        ("shampoo", "L'Oréal shampoo"),
        ("knife", "Küchenmesser Set"),
        ("bike", "Vélos électriques"),
        ("bed", "Łóżko dziecięce"),
        ("phone", "iPhone 15 black"),
        ("buds", "ワイヤレスイヤホン"),
        ("purse", "本革長財布"),
    ]);
    for (typed, expected) in [
        ("t-sh", "t-shirt"),
        ("tsh", "t-shirt"),
        ("usb-c", "usb-c"),
        ("usb-", "usb-c"),
        ("l'or", "l'oréal"),
        ("küch", "küchenmesser"),
        ("kuch", "küchenmesser"),
        ("vél", "vélos"),
        ("łóż", "łóżko"),
        ("iphone1", "iphone 15"),
        ("black iph", "black iphone"),
    ] {
        let completions = shop.index.suggest(typed).unwrap();
        assert!(
            completions.contains(&expected.to_owned()),
            "{typed}: {completions:?}"
        );
    }
    for (typed, ending) in [("イヤ", "ほん"), ("長", "財布")] {
        let completions = shop.index.suggest(typed).unwrap();
        assert!(
            completions.iter().any(|found| found.ends_with(ending)),
            "{completions:?}"
        );
    }
    assert_eq!(
        shop.search("küchenmeser").corrected.as_deref(),
        Some("küchenmesser")
    );
}
