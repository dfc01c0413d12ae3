//! A light English stemmer: plurals, regular and not, `-ing`, `-ed`, and the vowel these
//! leave.
//!
//! The usual stemmers go on to take `-er`, `-ation` and the like, which serves
//! prose; in a shop a controller is no control and a printer no print.
//!
//! **Invariant:** a stem is a beginning of the word's singular but for a final `i` in place
//! of a `y`, and never empty.

/// Shorter words are left alone; so are words with a digit in them.
const CHARS_MIN: usize = 4;

/// Cuts a word, in lower case, down to its stem.
pub(crate) fn cut(word: &mut String) {
    if !word.bytes().all(|letter| letter.is_ascii_lowercase()) {
        return;
    }
    if let Some(singular) = irregular(word) {
        singular.clone_into(word);
    }
    if word.len() < CHARS_MIN {
        return;
    }
    cut_plural(word);
    if cut_verb(word) {
        return;
    }
    if word.len() >= CHARS_MIN && word.ends_with('y') {
        word.pop();
        word.push('i');
    } else if word.len() > CHARS_MIN && word.ends_with('e') {
        word.pop();
    }
}

/// Plurals in `-ves`, also as the end of a compound, and the end of their singulars.
const VES_PLURALS: &[(&str, &str)] = &[
    ("shelves", "f"),
    ("knives", "fe"),
    ("leaves", "f"),
    ("scarves", "f"),
    ("loaves", "f"),
    ("halves", "f"),
    ("calves", "f"),
    ("hooves", "f"),
    ("wolves", "f"),
    ("thieves", "f"),
    ("wives", "fe"),
];

/// The singular of a plural that no rule makes.
fn irregular(word: &str) -> Option<&'static str> {
    Some(match word {
        "mice" => "mouse",
        "men" => "man",
        "women" => "woman",
        "children" => "child",
        "feet" => "foot",
        "teeth" => "tooth",
        "geese" => "goose",
        "elves" => "elf",
        "lives" => "life",
        "oxen" => "ox",
        _ => return None,
    })
}

fn cut_plural(word: &mut String) {
    if word.ends_with("ves") {
        let plurals = VES_PLURALS.iter();
        let found = plurals.copied().find(|(plural, _)| word.ends_with(plural));
        if let Some((_, end)) = found {
            word.truncate(word.len() - "ves".len());
            word.push_str(end);
            return;
        }
    }
    let cut = if word.ends_with("ies") && word.len() > CHARS_MIN {
        word.truncate(word.len() - "ies".len());
        word.push('y');
        return;
    } else if ["sses", "ches", "shes", "xes"]
        .iter()
        .any(|end| word.ends_with(end))
    {
        2
    } else if word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us") {
        1
    } else {
        0
    };
    word.truncate(word.len() - cut);
}

/// Takes `-ing` or `-ed` where a word is left, and one of two letters before it.
fn cut_verb(word: &mut String) -> bool {
    let Some(left) = ["ing", "ed"].iter().find_map(|end| word.strip_suffix(end)) else {
        return false;
    };
    if left.len() < CHARS_MIN - 1 || vowels(left) == 0 {
        return false;
    }
    let mut letters = left.bytes().rev();
    let doubled = letters.next() == letters.next();
    // "selling" is of "sell", but "cancelling" is of "cancel".
    let own = left.ends_with(['l', 's', 'z']) && vowels(left) == 1;
    let cut = usize::from(doubled && !own && left.len() >= CHARS_MIN);
    word.truncate(left.len() - cut);
    true
}

/// How often vowels begin.
fn vowels(word: &str) -> usize {
    let is_vowel = |letter: u8| matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let mut before = false;
    word.bytes()
        .filter(|letter| {
            let begins = is_vowel(*letter) && !before;
            before = is_vowel(*letter);
            begins
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_meet_and_other_words_do_not() {
        let stem = |word: &str| {
            let mut word = word.to_owned();
            cut(&mut word);
            word
        };
        for (one, other) in [
            ("lamps", "lamp"),
            ("batteries", "battery"),
            ("boxes", "box"),
            ("watches", "watch"),
            ("glasses", "glass"),
            ("cancelling", "cancel"),
            ("charging", "charge"),
            ("cables", "cable"),
            ("selling", "sell"),
            ("toys", "toy"),
            ("bookshelves", "bookshelf"),
            ("knives", "knife"),
            ("gloves", "glove"),
            ("olives", "olive"),
            ("mice", "mouse"),
            ("men", "man"),
            ("women", "woman"),
            ("children", "child"),
            ("feet", "foot"),
        ] {
            assert_eq!(stem(one), stem(other), "{one} {other}");
        }
        for (one, other) in [
            ("controller", "control"),
            ("printer", "print"),
            ("string", "str"),
            ("bus", "bu"),
            ("glass", "glas"),
            ("mx500s", "mx500"),
            ("bed", "b"),
        ] {
            assert_ne!(stem(one), stem(other), "{one} {other}");
        }
        assert_eq!((stem("s"), stem("")), ("s".into(), String::new()));
    }
}
