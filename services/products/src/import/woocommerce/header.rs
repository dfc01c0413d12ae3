//! The columns of a WooCommerce export by their names, which are in the language of the site:
//! English, German, French or Spanish.
//!
//! **Invariant:** a name has one meaning in all languages.

use crate::import::figures::WeightUnit;

/// Attributes of a product.
pub(super) const ATTRIBUTES: usize = 64;

/// The cells that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    Id,
    Type,
    Sku,
    Name,
    Published,
    ShortDescription,
    Description,
    Stock,
    InStock,
    Backorders,
    Price,
    Categories,
    Tags,
    Images,
    Parent,
    Brands,
    Barcode,
    TaxStatus,
    TaxClass,
    Weight(WeightUnit),
    AttributeName(usize),
    AttributeValue(usize),
}

/// The names in lower case, without a blank before a question mark. Those that several versions
/// have stand beside one another.
#[rustfmt::skip]
const NAMES: &[(Cell, &[&str])] = &[
    (Cell::Id, &["id"]),
    (Cell::Type, &["type", "typ", "tipo"]),
    (Cell::Sku, &["sku", "artikelnummer", "ugs"]),
    (Cell::Name, &["name", "nom", "nombre"]),
    (Cell::Published, &["published", "veröffentlicht", "publié", "publicado"]),
    (Cell::ShortDescription, &["short description", "kurzbeschreibung", "description courte", "descripción corta"]),
    (Cell::Description, &["description", "beschreibung", "descripción"]),
    (Cell::Stock, &["stock", "lager", "bestand", "lagerbestand", "inventario"]),
    (Cell::InStock, &["in stock?", "vorrätig?", "auf lager?", "en stock?", "¿existencias?", "¿en inventario?"]),
    (Cell::Backorders, &[
        "backorders allowed?", "lieferrückstände erlaubt?", "lieferrückstande erlaubt?", "rückstände erlaubt?",
        "autoriser les commandes de produits en rupture?", "¿permitir reservas de productos agotados?",
    ]),
    (Cell::Price, &["regular price", "regulärer preis", "normaler preis", "tarif régulier", "prix régulier", "precio normal", "precio regular"]),
    (Cell::Categories, &["categories", "kategorien", "catégories", "categorías"]),
    (Cell::Tags, &["tags", "schlagwörter", "étiquettes", "etiquetas"]),
    (Cell::Images, &["images", "bilder", "imágenes"]),
    (Cell::Parent, &["parent", "übergeordnetes produkt", "superior"]),
    (Cell::Brands, &["brands", "marken", "marques", "marcas"]),
    (Cell::TaxStatus, &["tax status", "steuerstatus", "état de la tva", "estado del impuesto"]),
    (Cell::TaxClass, &["tax class", "steuerklasse", "classe de tva", "clase de impuesto"]),
    (Cell::Barcode, &["gtin, upc, ean, or isbn", "gtin, upc, ean oder isbn", "gtin, upc, ean ou isbn", "gtin, upc, ean o isbn"]),
];

/// What stands before and behind the number of an attribute, and the cell of that number.
type AttributeName = (&'static str, &'static str, fn(usize) -> Cell);

/// The names of columns with a part of an attribute.
const ATTRIBUTE_NAMES: [AttributeName; 8] = [
    ("attribute ", " name", Cell::AttributeName),
    ("attribute ", " value(s)", Cell::AttributeValue),
    ("attribut ", " name", Cell::AttributeName),
    ("attribut ", " wert(e)", Cell::AttributeValue),
    ("nom de l'attribut ", "", Cell::AttributeName),
    ("valeur(s) de l'attribut ", "", Cell::AttributeValue),
    ("nombre del atributo ", "", Cell::AttributeName),
    ("valor(es) del atributo ", "", Cell::AttributeValue),
];

/// The meaning of a column's name in lower case.
pub(super) fn cell(name: &str) -> Option<Cell> {
    // French has narrow blanks before question marks, and the typographic apostrophe.
    let name = name
        .replace(['\u{a0}', '\u{202f}'], " ")
        .replace('’', "'")
        .replace(" ?", "?");
    let named = NAMES
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()));
    named
        .map(|(cell, _)| *cell)
        .or_else(|| weight(&name))
        .or_else(|| attribute(&name))
}

/// A column of weights, `weight (kg)`.
fn weight(name: &str) -> Option<Cell> {
    let (what, unit) = name.strip_suffix(')')?.split_once(" (")?;
    let is_weight = ["weight", "gewicht", "poids", "peso"].contains(&what);
    let unit = WeightUnit::named(unit)?;
    is_weight.then_some(Cell::Weight(unit))
}

fn attribute(name: &str) -> Option<Cell> {
    let numbered = |(before, after, cell): &(&str, &str, fn(usize) -> Cell)| {
        let number = name.strip_prefix(before)?.strip_suffix(after)?;
        let number = number.trim().parse().ok()?;
        (1..=ATTRIBUTES).contains(&number).then(|| cell(number))
    };
    ATTRIBUTE_NAMES.iter().find_map(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_meaning() {
        let mut names: Vec<_> = NAMES.iter().flat_map(|(_, names)| *names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for (name, expected) in [
            ("en stock\u{a0}?", Some(Cell::InStock)),
            ("valeur(s) de l’attribut 2", Some(Cell::AttributeValue(2))),
            ("attribut 64 wert(e)", Some(Cell::AttributeValue(64))),
            ("attribut 65 name", None),
            ("attribut 1 sichtbar", None),
            ("weight (kg)", Some(Cell::Weight(WeightUnit::Kilogram))),
            ("gewicht (g)", Some(Cell::Weight(WeightUnit::Gram))),
            ("peso (lbs)", Some(Cell::Weight(WeightUnit::Pound))),
            ("poids (oz)", Some(Cell::Weight(WeightUnit::Ounce))),
            ("weight (st)", None),
            ("length (cm)", None),
            ("sale price", None),
            ("angebotspreis", None),
        ] {
            assert_eq!(cell(name), expected, "{name}");
        }
    }
}
