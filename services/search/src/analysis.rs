//! Text analysis: the analyzers of the index, and the words of queries and texts.
//!
//! **Invariant:** queries and documents pass the same tokenizer, folding and stemmer.

use std::cell::RefCell;
use std::ops::Range;

use tantivy::Index;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer, TokenizerManager};

use crate::folding::fold;
use crate::stemmer;
use crate::terms::{self, Buffers, IndexTerm, Initials};
use crate::tokenizer::{WORD_BYTES_MAX, Word, words as split};

/// The analyzer of unstemmed words.
pub(crate) const PLAIN: &str = "plain";
/// The analyzer of English stems.
pub(crate) const STEMMED: &str = "stemmed";

/// The form in which terms are indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TermForm {
    Plain,
    Stemmed,
}

/// The tokenizer of an index field. Its buffers are kept from text to text.
#[derive(Clone)]
struct FieldTokenizer {
    form: TermForm,
    buffers: Buffers,
    /// The terms of the text, and buffers of longer ones before it.
    tokens: Vec<Token>,
}

impl FieldTokenizer {
    fn new(form: TermForm) -> Self {
        Self { form, buffers: Buffers::default(), tokens: Vec::new() }
    }
}

impl Tokenizer for FieldTokenizer {
    type TokenStream<'a> = Terms<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Terms<'a> {
        let mut count = 0;
        let tokens = &mut self.tokens;
        terms::terms(text, &Initials::ALL, &mut self.buffers, |term| {
            if count == tokens.len() {
                tokens.push(Token::default());
            }
            let token = &mut tokens[count];
            token.text.clear();
            token.text.push_str(term.text);
            if self.form == TermForm::Stemmed {
                stemmer::cut(&mut token.text);
            }
            (token.offset_from, token.offset_to) = (term.range.start, term.range.end);
            token.position = count;
            count += 1;
            true
        });
        Terms { tokens: &mut tokens[..count], next: 0 }
    }
}

/// The terms of one text.
struct Terms<'a> {
    tokens: &'a mut [Token],
    next: usize,
}

impl TokenStream for Terms<'_> {
    fn advance(&mut self) -> bool {
        self.next += 1;
        self.next <= self.tokens.len()
    }

    fn token(&self) -> &Token {
        &self.tokens[self.next - 1]
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.tokens[self.next - 1]
    }
}

/// Registers the analyzers that the schema names.
pub(crate) fn register_analyzers(index: &mut Index) {
    let analyzers = TokenizerManager::default();
    analyzers.register(PLAIN, FieldTokenizer::new(TermForm::Plain));
    analyzers.register(STEMMED, FieldTokenizer::new(TermForm::Stemmed));
    index.set_tokenizers(analyzers);
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Calls `seen` with each term of a text, not stemmed, until it returns `false`.
pub(crate) fn terms(text: &str, seen: impl FnMut(IndexTerm<'_>) -> bool) {
    terms_beginning(text, &Initials::ALL, seen);
}

/// The same with each term that begins so; others may be left out.
pub(crate) fn terms_beginning(
    text: &str,
    initials: &Initials,
    seen: impl FnMut(IndexTerm<'_>) -> bool,
) {
    BUFFERS.with_borrow_mut(|buffers| terms::terms(text, initials, buffers, seen));
}

/// Calls `seen` with each word of a text that begins so, folded and not stemmed.
pub(crate) fn each_word(text: &str, initials: &Initials, mut seen: impl FnMut(&str)) {
    let mut word = String::new();
    for Word { range, is_unspaced, .. } in split(text) {
        if !initials.begin(&text[range.clone()]) {
            continue;
        }
        word.clear();
        fold(&text[range], &mut word);
        if is_unspaced || word.len() <= WORD_BYTES_MAX {
            seen(&word);
        }
    }
}

/// The words of a text, folded and not stemmed.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    each_word(text, &Initials::ALL, |word| words.push(word.to_owned()));
    words
}

/// The stem of a folded word.
pub(crate) fn stem(word: &str) -> String {
    let mut stem = word.to_owned();
    stemmer::cut(&mut stem);
    stem
}

/// All words of a text as one: `DV7-1211ea` and `dv7 1211EA` are both `dv71211ea`.
pub(crate) fn compact(text: &str) -> String {
    let mut compact = String::with_capacity(text.len());
    for Word { range, .. } in split(text) {
        fold(&text[range], &mut compact);
    }
    compact
}

/// The runs of letters and of digits of a folded word: `iphone15pro` is `iphone`, `15`,
/// `pro`.
pub(crate) fn runs(word: &str) -> Vec<Range<usize>> {
    let is_digit = |letter: char| letter.is_ascii_digit() || letter == '.';
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut before = None;
    for (at, letter) in word.char_indices() {
        if before != Some(is_digit(letter)) {
            runs.push(at..at);
            before = Some(is_digit(letter));
        }
        if let Some(run) = runs.last_mut() {
            run.end = at + letter.len_utf8();
        }
    }
    runs
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
        for (text, one) in [
            ("DV7-1211ea", "dv71211ea"),
            ("3.5 mm", "3.5mm"),
            ("T-Shirt", "tshirt"),
            ("イヤ", "いや"),
        ] {
            assert_eq!(compact(text), one, "{text}");
        }
        let word = "iphone15pro";
        let parts: Vec<&str> = runs(word).into_iter().map(|run| &word[run]).collect();
        assert_eq!(parts, ["iphone", "15", "pro"]);
    }
}
