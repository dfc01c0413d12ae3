//! Texts of one line that people read as names: of people, products and categories.
//!
//! **Invariant:** a legible text shows at least one character, and shows its characters in
//! the order in which they are stored.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Why a text that is not legible is refused.
pub const ILLEGIBLE: &str =
    "must have a visible character, and no control or direction-changing one";

/// Whether a text shows something and hides nothing.
///
/// Joiners and variation selectors are part of scripts and emoji, so they may stand beside
/// visible characters.
pub fn is_legible(text: &str) -> bool {
    let is_control = |c: char| c.is_control() || is_bidi_control(c);
    !text.contains(is_control) && text.chars().any(is_visible)
}

/// A text as it is stored: in the composed form (NFC) and without white space around it, so
/// that texts which look equal are equal.
pub fn normalised(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

/// Whether every character leaves ink or is the plain blank: the rule for codes, which people
/// compare by eye.
pub fn is_visible_throughout(text: &str) -> bool {
    text.chars()
        .all(|c| c == ' ' || (is_visible(c) && !c.is_control() && !is_bidi_control(c)))
}

/// The controls of the bidirectional algorithm (UAX #9, `Bidi_Control`), which show a text in
/// another order than it has.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character leaves ink by itself: neither white space nor one that is ignored when
/// a text is shown (`Default_Ignorable_Code_Point`), nor the blank of Braille.
fn is_visible(c: char) -> bool {
    let is_ignorable = matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    !c.is_whitespace() && !is_ignorable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_equal_are_equal() {
        for (text, stored) in [
            (" Mori\u{a0}", "Mori"),
            ("Cre\u{300}me bru\u{302}le\u{301}e", "Crème brûlée"),
            ("two  blanks", "two  blanks"),
            ("\u{ac00}\u{11a8}", "\u{ac01}"),
        ] {
            assert_eq!(normalised(text), stored);
        }
        for (code, is_visible) in [
            ("DUP-7 b", true),
            ("größe-7", true),
            ("DUP\u{a0}7", false),
            ("DUP-7\u{200b}", false),
            ("DUP\t7", false),
            ("DUP-7\u{fe0f}", false),
        ] {
            assert_eq!(is_visible_throughout(code), is_visible, "{code:?}");
        }
    }

    #[test]
    fn a_legible_text_shows_something_and_hides_nothing() {
        for good in [
            "Ana Lima",
            "1",
            "Mädchen & Söhne",
            "می\u{200c}خواهم",
            "👩\u{200d}🍳 Küche",
            "❤\u{fe0f}",
            "שלום",
        ] {
            assert!(is_legible(good), "{good:?}");
        }
        for bad in [
            "",
            "  ",
            "\u{200b}",
            "\u{200d}\u{fe0f}\u{feff}",
            "\u{3164}",
            "\u{2800}",
            "Lamp\0",
            "Lamp\u{85}",
            "Lamp\n",
            "\u{202e}exe.png",
            "a\u{2066}b",
            "a\u{200f}b",
            "a\u{61c}b",
        ] {
            assert!(!is_legible(bad), "{bad:?}");
        }
    }
}
