//! Spelling: the edits from one spelling to another, how unlikely they are, and common
//! English words, which are spelled as they are meant.
//!
//! The optimal string alignment distance, in which frequent typing errors cost less
//! than a whole edit: letters swapped or doubled, one vowel for another, and a
//! neighbouring key.
//!
//! Most short words are one letter from another: without a list of words, a shop that sells
//! benches and soup would answer `beach` and `soap` with them. The list is in
//! `data/english_words.txt`, and searched where it lies in the binary.
//!
//! **Invariant:** equal spellings have distance zero, and only they do.

/// One word a line, in the order of their bytes.
const ENGLISH: &str = include_str!("../data/english_words.txt");

/// The cost of each edit.
const EDIT: f32 = 1.0;
const SWAPPED: f32 = 0.7;
const DOUBLED: f32 = 0.6;
const VOWEL_MISSED: f32 = 0.8;
const VOWEL_TAKEN: f32 = 0.7;
const NEXT_KEY: f32 = 0.8;

const ROWS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

/// The distance from the spelling typed to the one meant.
pub(crate) fn distance(typed: &str, meant: &str) -> f32 {
    let a: Vec<char> = typed.chars().collect();
    let b: Vec<char> = meant.chars().collect();
    let mut rows = vec![vec![0.0_f32; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let mut least = if i + j == 0 { 0.0 } else { f32::INFINITY };
            if i > 0 {
                least = least.min(rows[i - 1][j] + insertion(&a, i, &b, j));
            }
            if j > 0 {
                least = least.min(rows[i][j - 1] + deletion(&b, j));
            }
            if i > 0 && j > 0 {
                least = least.min(rows[i - 1][j - 1] + substitution(a[i - 1], b[j - 1]));
            }
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + SWAPPED);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

/// Whether this is a common English word, or the plural of one.
pub(crate) fn is_english(word: &str) -> bool {
    is_listed(word) || word.strip_suffix('s').is_some_and(is_listed)
}

fn is_listed(word: &str) -> bool {
    let mut lines = ENGLISH;
    while !lines.is_empty() {
        let middle = lines.floor_char_boundary(lines.len() / 2);
        let start = lines[..middle].rfind('\n').map_or(0, |end| end + 1);
        let end = lines[start..]
            .find('\n')
            .map_or(lines.len(), |end| start + end);
        match word.cmp(&lines[start..end]) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => lines = &lines[..start],
            std::cmp::Ordering::Greater => lines = &lines[lines.len().min(end + 1)..],
        }
    }
    false
}

/// The number of edits from one spelling to another: letters inserted, deleted, replaced,
/// or swapped with a neighbour. One that changes the first letter counts double.
pub(crate) fn edits(typed: &str, meant: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (typed.chars().collect(), meant.chars().collect());
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let mut least = if i + j == 0 { 0 } else { usize::MAX };
            if i > 0 {
                least = least.min(rows[i - 1][j] + 1);
            }
            if j > 0 {
                least = least.min(rows[i][j - 1] + 1);
            }
            if i > 0 && j > 0 {
                least = least.min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
            }
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()] + usize::from(a.first() != b.first())
}

fn insertion(typed: &[char], i: usize, meant: &[char], j: usize) -> f32 {
    let letter = typed[i - 1];
    let again = i > 1 && typed[i - 2] == letter || j > 0 && meant[j - 1] == letter;
    if again { DOUBLED } else { EDIT }
}

fn deletion(meant: &[char], j: usize) -> f32 {
    let letter = meant[j - 1];
    if j > 1 && meant[j - 2] == letter {
        DOUBLED
    } else if is_vowel(letter) {
        VOWEL_MISSED
    } else {
        EDIT
    }
}

fn substitution(typed: char, meant: char) -> f32 {
    if typed == meant {
        0.0
    } else if is_vowel(typed) && is_vowel(meant) {
        VOWEL_TAKEN
    } else if are_neighbours(typed, meant) {
        NEXT_KEY
    } else {
        EDIT
    }
}

fn is_vowel(letter: char) -> bool {
    matches!(letter, 'a' | 'e' | 'i' | 'o' | 'u' | 'y')
}

/// Whether two keys touch; each row is offset by half a key from the one above.
fn are_neighbours(one: char, other: char) -> bool {
    let place = |letter| {
        let mut rows = ROWS.iter().enumerate();
        rows.find_map(|(row, keys)| keys.find(letter).map(|at| (row, 2 * at + row)))
    };
    match (place(one), place(other)) {
        (Some((row, at)), Some((other_row, other_at))) => {
            row.abs_diff(other_row) <= 1 && at.abs_diff(other_at) <= 2
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likely_errors_are_nearer() {
        assert_eq!(distance("mouse", "mouse"), 0.0);
        assert_eq!(distance("mosue", "mouse"), SWAPPED);
        assert_eq!(distance("batery", "battery"), DOUBLED);
        assert_eq!(distance("mose", "mouse"), VOWEL_MISSED);
        assert_eq!(distance("kamp", "lamp"), NEXT_KEY);
        assert_eq!(distance("damp", "lamp"), EDIT);
        assert!(distance("", "lamp") > 3.0);
        for (typed, meant, count) in [
            ("mosue", "mouse", 1),
            ("vase", "base", 2),
            ("omuse", "mouse", 2),
            ("violin", "filling", 4),
        ] {
            assert_eq!(edits(typed, meant), count, "{typed} {meant}");
        }
    }

    #[test]
    fn words_are_found() {
        assert!(ENGLISH.lines().is_sorted());
        assert!(ENGLISH.lines().all(is_listed));
        assert!(is_english("guitar") && is_english("violins"));
        for other in ["", "gitar", "zzz", "aaaa", "smartwatch"] {
            assert!(!is_english(other), "{other}");
        }
    }
}
