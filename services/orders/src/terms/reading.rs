//! Fields that several terms have, and texts within bounds.

use chassis::fields::{Fields, Price};
use model::{Country, Money, TaxClass};

/// Characters of a name.
const NAME_CHARS_MAX: usize = 100;

/// The name, which buyers read.
pub(super) fn name(fields: &mut Fields<'_>) -> Option<String> {
    fields.required("name", text::<NAME_CHARS_MAX>)
}

pub(super) fn tax_class(fields: &mut Fields<'_>) -> TaxClass {
    let given = fields.optional("tax_class", |text| match &*model::normalised(text) {
        "" => Ok(TaxClass::default()),
        name => name
            .parse()
            .map_err(|error: model::NotATaxClass| error.to_string()),
    });
    given.unwrap_or_default()
}

pub(super) fn price(fields: &mut Fields<'_>, name: &str) -> Option<Money> {
    fields.object(name).map(|Price(money)| money)
}

/// A number from the least to the most; `None` if it is absent.
pub(crate) fn number<T: TryFrom<i64> + Into<i64> + Copy>(
    fields: &mut Fields<'_>,
    name: &str,
    least: T,
    most: T,
) -> Option<T> {
    fields.parsed(name, |given: i64| {
        let (least, most) = (least.into(), most.into());
        let number = T::try_from(given)
            .ok()
            .filter(|_| (least..=most).contains(&given));
        number.ok_or_else(|| format!("must be {least}..{most}"))
    })
}

pub(super) fn country(text: &str) -> Result<Country, String> {
    model::normalised(text)
        .parse()
        .map_err(|error: model::NotACountry| error.to_string())
}

/// A legible text of 1 to so many characters.
pub(crate) fn text<const CHARS_MAX: usize>(text: &str) -> Result<String, String> {
    let text = model::normalised(text);
    if !(1..=CHARS_MAX).contains(&text.chars().count()) {
        return Err(format!("must have 1..{CHARS_MAX} characters"));
    }
    match model::is_legible(&text) {
        true => Ok(text.into_owned()),
        false => Err(model::ILLEGIBLE.into()),
    }
}

/// The entries of a list of texts, each parsed; of equal ones the first.
pub(super) fn texts<T: PartialEq>(
    fields: &mut Fields<'_>,
    name: &str,
    entries_max: usize,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut texts = Vec::new();
    for (pointer, raw) in fields.list(name, entries_max) {
        let text = fields.parsed_at(&pointer, raw, &parse);
        texts.extend(text.filter(|text| !texts.contains(text)));
    }
    texts
}
