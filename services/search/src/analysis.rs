//! Text analysis: tokenisation, lower-casing, folding of accents, stemming.
//!
//! Words end at every character that is neither letter nor digit.
//!
//! **Invariant:** queries and documents pass the same analyzers.

use std::cell::RefCell;
use std::ops::Range;

use tantivy::Index;
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer,
    TokenizerManager,
};

use crate::stemmer::Stemming;

/// The analyzer of unstemmed words.
pub(crate) const PLAIN: &str = "plain";
/// The analyzer of English stems.
pub(crate) const STEMMED: &str = "stemmed";

/// Longer words are noise: hashes, addresses.
pub(crate) const WORD_BYTES_MAX: usize = 64;

/// The analyzer of unstemmed words.
fn plain() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(WORD_BYTES_MAX))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// The analyzer of stems.
fn stemmed() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(WORD_BYTES_MAX))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemming)
        .build()
}

/// Registers the analyzers that the schema names.
pub(crate) fn register_analyzers(index: &mut Index) {
    let analyzers = TokenizerManager::default();
    analyzers.register(PLAIN, plain());
    analyzers.register(STEMMED, stemmed());
    index.set_tokenizers(analyzers);
}

// An analyzer has buffers of its own, which cost more than most texts do.
thread_local! {
    static WORDS: RefCell<TextAnalyzer> = RefCell::new(plain());
    static STEMS: RefCell<TextAnalyzer> = RefCell::new(stemmed());
}

/// Calls `seen` with each word of a text and its place in it, until it returns
/// `false`.
pub(crate) fn tokens(text: &str, mut seen: impl FnMut(&str, Range<usize>) -> bool) {
    WORDS.with_borrow_mut(|analyzer| {
        let mut words = analyzer.token_stream(text);
        while words.advance() {
            let word = words.token();
            if !seen(&word.text, word.offset_from..word.offset_to) {
                return;
            }
        }
    });
}

/// Calls `seen` with each word of a text, not stemmed.
pub(crate) fn each_word(text: &str, mut seen: impl FnMut(&str)) {
    tokens(text, |word, _| {
        seen(word);
        true
    });
}

/// The words of a text, not stemmed.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    each_word(text, |word| words.push(word.to_owned()));
    words
}

/// The stem of a word as it is indexed, or typed.
pub(crate) fn stem(word: &str) -> String {
    STEMS.with_borrow_mut(|analyzer| {
        let mut stems = analyzer.token_stream(word);
        let first = stems.advance().then(|| stems.token().text.clone());
        first.unwrap_or_else(|| word.to_owned())
    })
}

/// A model number in its canonical form, without marks and case: `DV7-1211ea` and
/// `dv7 1211EA` are both `dv71211ea`.
pub(crate) fn compact(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_words() {
        let text = "Crème-brûlée Lamps, USB-C";
        assert_eq!(words(text), ["creme", "brulee", "lamps", "usb", "c"]);
        let stems: Vec<String> = words(text).iter().map(|word| stem(word)).collect();
        assert_eq!(stems, ["crem", "brule", "lamp", "usb", "c"]);
        assert_eq!(compact("DV7-1211ea"), "dv71211ea");
    }
}
