//! Folding: the canonical form of a word, in which spellings of one word are equal.
//!
//! Compatibility forms (NFKC), case, accents, the width and kind of kana, invisible
//! characters and the comma of a decimal number are folded. Marks that are no accents,
//! such as the vowels of Thai and Devanagari or the dakuten of kana, are kept.
//!
//! **Invariant:** a folded word folds to itself.

use unicode_normalization::UnicodeNormalization;

/// The distance from a letter of katakana to the one of hiragana.
const KATAKANA_TO_HIRAGANA: u32 = 0x60;

/// Appends the canonical form of a word.
pub(crate) fn fold(word: &str, out: &mut String) {
    if word.is_ascii() {
        let start = out.len();
        out.push_str(word);
        out[start..].make_ascii_lowercase();
        if word.contains(',') {
            fold_commas(start, out);
        }
        return;
    }
    let visible = word.chars().filter(|letter| !is_invisible(*letter));
    let bare = visible.nfkd().filter(|letter| !is_accent(*letter)).nfc();
    for letter in bare.flat_map(char::to_lowercase) {
        match letter {
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            'þ' => out.push_str("th"),
            'ø' => out.push('o'),
            'ł' => out.push('l'),
            'đ' | 'ð' => out.push('d'),
            'ħ' => out.push('h'),
            'ı' => out.push('i'),
            ',' => out.push('.'),
            'ς' => out.push('σ'),
            // Thai and Lao have one letter for a mark and the vowel behind it.
            '\u{e32}' if out.ends_with('\u{e4d}') => {
                out.pop();
                out.push('\u{e33}');
            }
            '\u{eb2}' if out.ends_with('\u{ecd}') => {
                out.pop();
                out.push('\u{eb3}');
            }
            'ァ'..='ヶ' => {
                let hiragana = char::from_u32(u32::from(letter) - KATAKANA_TO_HIRAGANA);
                out.push(hiragana.unwrap_or(letter));
            }
            _ => out.push(letter),
        }
    }
}

/// The canonical form of a word or a short text, in which its spellings are equal.
pub fn folded(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    fold(word, &mut out);
    out
}

/// A word in the spelling in which it is shown: as it is written, in lower case.
pub(crate) fn spelled(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let visible = word.chars().filter(|letter| !is_invisible(*letter)).nfc();
    // The lower case of this letter alone is two characters.
    let dotted = visible.map(|letter| if letter == 'İ' { 'i' } else { letter });
    dotted.flat_map(char::to_lowercase).collect()
}

/// Characters that are no part of a word: soft hyphens, joiners, byte order marks.
pub(crate) fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}'
    )
}

/// Marks that change a letter's sound and not the word: those of Latin, Greek and Cyrillic
/// letters, and the vowels of Hebrew and Arabic.
fn is_accent(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}')
}

/// The commas of a number: `1,000` is 1000 and `3,5` is 3.5.
fn fold_commas(start: usize, out: &mut String) {
    let number = out.split_off(start);
    let digits = number.find(|letter: char| letter.is_ascii_digit());
    let (before, number) = number.split_at(digits.unwrap_or(0));
    out.push_str(before);
    let thousands =
        is_thousands(number.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()));
    for letter in number.chars() {
        match letter {
            ',' if thousands => {}
            ',' => out.push('.'),
            _ => out.push(letter),
        }
    }
}

/// Whether the commas of a number part thousands: `12,000`, `1,250,000.50`.
pub(crate) fn is_thousands(number: &str) -> bool {
    let whole = number.split('.').next().unwrap_or(number);
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or("");
    let mut rest = groups.peekable();
    rest.peek().is_some()
        && (1..=3).contains(&first.len())
        && !first.starts_with('0')
        && rest.all(|group| group.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_word_are_equal() {
        for (written, canonical) in [
            ("Crème", "creme"),
            ("Cre\u{300}me", "creme"),
            ("İPEK", "ipek"),
            ("ışıklı", "isikli"),
            ("Größe", "grosse"),
            ("Łóżko", "lozko"),
            ("Чёрный", "черныи"),
            ("ΤΡΕΞΙΜΑΤΟΣ", "τρεξιματοσ"),
            ("τρεξίματος", "τρεξιματοσ"),
            ("كِتابُ", "كتاب"),
            ("ＵＳＢ", "usb"),
            ("O\u{fb03}ce", "office"),
            ("ﾌﾟﾗｽﾁｯｸ", "ぷらすちっく"),
            ("プラスチック", "ぷらすちっく"),
            ("ガラス", "がらす"),
            ("Kaffee\u{ad}maschine", "kaffeemaschine"),
            ("m²", "m2"),
            ("3,5", "3.5"),
            ("1,000mAh", "1000mah"),
            ("เสื้อ", "เสื้อ"),
            ("น้ำ", "น้ำ"),
        ] {
            assert_eq!(folded(written), canonical, "{written}");
            assert_eq!(folded(canonical), canonical, "{written}");
        }
        assert_eq!(spelled("İpek\u{ad}-Şal"), "ipek-şal");
    }
}
