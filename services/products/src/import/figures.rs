//! Weights and truth values of cells, as spreadsheets and other shops write them.

/// The tax class of what another shop says is not taxed. It has no rate unless the shop gives
/// it one.
pub(super) const TAX_EXEMPT: &str = "exempt";

/// A unit of weight that a column is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum WeightUnit {
    Gram,
    Kilogram,
    Pound,
    Ounce,
}

impl WeightUnit {
    pub(super) const ALL: [Self; 4] = [Self::Gram, Self::Kilogram, Self::Pound, Self::Ounce];

    /// The unit of a sign.
    pub(super) fn named(sign: &str) -> Option<Self> {
        Some(match sign {
            "g" => Self::Gram,
            "kg" => Self::Kilogram,
            "lbs" | "lb" => Self::Pound,
            "oz" => Self::Ounce,
            _ => return None,
        })
    }

    fn in_grams(self) -> f64 {
        match self {
            Self::Gram => 1.0,
            Self::Kilogram => 1000.0,
            Self::Pound => 453.592_37,
            Self::Ounce => 28.349_523_125,
        }
    }
}

/// A weight in whole grams, rounded half up.
///
/// # Errors
/// Why the cell is none.
pub(super) fn grams(cell: &str, unit: WeightUnit) -> Result<i64, String> {
    if let Some((_, decimals)) = cell.split_once(',')
        && decimals.len() == 3
        && unit == WeightUnit::Gram
    {
        return Err(format!(
            "{cell:?} may be thousands or decimals; write it without the comma"
        ));
    }
    let number: Option<f64> = cell.replacen(',', ".", 1).parse().ok();
    // Larger ones are refused with every other weight that is too large.
    let number = number.filter(|number| (0.0..1e12).contains(number));
    let number = number.ok_or_else(|| format!("{cell:?} is no weight"))?;
    #[expect(clippy::cast_possible_truncation, reason = "it is below 2^53")]
    Ok((number * unit.in_grams()).round() as i64)
}

/// A truth value, in the words of the languages that imports know; spreadsheets save
/// their own.
pub(super) fn truth(cell: &str) -> Option<bool> {
    match cell.to_lowercase().as_str() {
        "true" | "yes" | "1" | "wahr" | "ja" | "vrai" | "oui" | "verdadero" | "sí" | "si" => {
            Some(true)
        }
        "false" | "no" | "0" | "falsch" | "nein" | "faux" | "non" | "falso" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_whole_grams() {
        use WeightUnit::{Gram, Kilogram, Ounce, Pound};
        for (cell, unit, expected) in [
            ("250", Gram, Some(250)),
            ("250.0", Gram, Some(250)),
            ("0,5", Gram, Some(1)),
            ("0", Gram, Some(0)),
            ("1.5", Kilogram, Some(1500)),
            ("1,500", Kilogram, Some(1500)),
            ("0.0004", Kilogram, Some(0)),
            ("2", Pound, Some(907)),
            ("1", Ounce, Some(28)),
            ("1,500", Gram, None),
            ("1.500,0", Gram, None),
            ("-1", Gram, None),
            ("NaN", Gram, None),
            ("inf", Gram, None),
            ("2 kg", Kilogram, None),
            ("", Gram, None),
        ] {
            assert_eq!(grams(cell, unit).ok(), expected, "{cell:?} {unit:?}");
        }
    }

    #[test]
    fn truth_values_of_spreadsheets() {
        for (cell, expected) in [
            ("true", Some(true)),
            ("FALSE", Some(false)),
            ("WAHR", Some(true)),
            ("Faux", Some(false)),
            ("0", Some(false)),
            ("maybe", None),
            ("", None),
        ] {
            assert_eq!(truth(cell), expected, "{cell:?}");
        }
    }
}
