//! People by the parts of their address and name: the index behind the search of staff.
//!
//! A part is a run of letters and digits, in lower case and without accents, or the whole
//! address. A search finds the people who have, for each of its words, a part that begins
//! with it. It walks the index of the longest word, whose parts are usually the fewest, and looks
//! at the people for the others.
//!
//! **Invariant:** the rows of a person are those of their parts, written in the transaction that
//! changes the person; a search reads at most [`ROWS_MAX`] of them, however many people have such
//! a name.

use std::collections::{BTreeMap, BTreeSet};

use model::{Id, Kind, Time};
use store::{Read, Table, Tx};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Rows of the index that one search reads.
const ROWS_MAX: usize = 2_000;
/// Parts of a person, and words of a search.
const PARTS_MAX: usize = 16;
/// Characters of a part: those of the longest address.
const PART_CHARS_MAX: usize = 254;
/// Characters of a search that are read.
const TEXT_CHARS_MAX: usize = 300;

/// What a person is found by.
#[derive(Debug, Clone, Copy)]
pub struct IndexedPerson<'a> {
    /// The e-mail address.
    pub email: &'a str,
    /// The name.
    pub name: &'a str,
}

/// The index of the people of one table, by their ids.
pub struct PeopleIndex<K: Kind>(Table<(String, Id<K>), ()>);

impl<K: Kind> PeopleIndex<K> {
    /// The index in the table of that name.
    pub const fn new(table: &'static str) -> Self {
        Self(Table::new(table))
    }

    /// The name of its table.
    pub const fn table(&self) -> &'static str {
        self.0.name()
    }

    /// Replaces the rows of a person before a change by those after it; `None` where there is no
    /// such person.
    ///
    /// # Errors
    /// Those of the store.
    pub fn update(
        &self,
        tx: &mut Tx<'_>,
        id: Id<K>,
        before: Option<IndexedPerson<'_>>,
        after: Option<IndexedPerson<'_>>,
    ) -> Result<(), store::Error> {
        let rows = |person: Option<IndexedPerson<'_>>| person.map(parts).unwrap_or_default();
        let (before, after) = (rows(before), rows(after));
        for part in before.difference(&after) {
            tx.delete(self.0, &(part.clone(), id))?;
        }
        for part in after.difference(&before) {
            tx.put(self.0, &(part.clone(), id), &())?;
        }
        Ok(())
    }

    /// The people that a text finds, at most `count_max`, in order of their ids; none for a text
    /// without letters and digits. `find` reads a person, and `indexed` says what they are found
    /// by.
    ///
    /// # Errors
    /// Those of the store.
    pub fn matching<P>(
        &self,
        from: &impl Read,
        text: &str,
        count_max: usize,
        find: impl Fn(Id<K>) -> Result<Option<P>, store::Error>,
        indexed: impl Fn(&P) -> IndexedPerson<'_>,
    ) -> Result<Vec<(Id<K>, P)>, store::Error> {
        let mut words: Vec<String> = words(text).into_iter().collect();
        words.sort_by_key(String::len);
        let Some(longest) = words.pop() else {
            return Ok(Vec::new());
        };
        let mut found = BTreeMap::new();
        let first = Id::first_at(Time(0));
        let rows = from.scan(self.0.all().from(&(longest.clone(), first)))?;
        for row in rows.take(ROWS_MAX) {
            let ((part, id), ()) = row?;
            if !part.starts_with(&longest) || found.len() >= count_max {
                break;
            }
            let Some(person) = find(id)? else {
                continue;
            };
            let parts = parts(indexed(&person));
            let has = |word: &String| parts.iter().any(|part| part.starts_with(word));
            if words.iter().all(has) {
                found.insert(id, person);
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// A text in the form in which it is compared.
fn folded(text: &str) -> String {
    let letters = text.chars().take(TEXT_CHARS_MAX).nfkd();
    let letters = letters.filter(|letter| !is_combining_mark(*letter));
    letters.collect::<String>().to_lowercase()
}

/// The runs of letters and digits of a folded text.
fn runs(folded: &str) -> impl Iterator<Item = String> {
    let runs = folded.split(|letter: char| !letter.is_alphanumeric());
    runs.filter(|run| !run.is_empty()).map(str::to_owned)
}

/// The parts that a person is found by.
fn parts(person: IndexedPerson<'_>) -> BTreeSet<String> {
    let (email, name) = (folded(person.email), folded(person.name));
    let parts = std::iter::once(email.clone())
        .chain(runs(&name))
        .chain(runs(&email));
    let parts = parts.map(|part| part.chars().take(PART_CHARS_MAX).collect());
    parts.take(PARTS_MAX).collect()
}

/// The words of a search: an address stays whole.
fn words(text: &str) -> BTreeSet<String> {
    let folded = folded(text);
    let words = folded
        .split_whitespace()
        .flat_map(|word| match word.contains('@') {
            true => vec![word.to_owned()],
            false => runs(word).collect(),
        });
    words.take(PARTS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use model::kinds;
    use store::{Options, Store};

    use super::*;

    const INDEX: PeopleIndex<kinds::User> = PeopleIndex::new("people");

    type Person = (&'static str, &'static str);

    fn indexed<'a>((email, name): &'a Person) -> IndexedPerson<'a> {
        IndexedPerson { email, name }
    }

    #[tokio::test]
    async fn people_are_found_by_every_word_of_a_search() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let zoe: Person = ("z.muller@shop.example", "Zo\u{eb} M\u{fc}ller-Lima");
        let ana: Person = ("ana@lima.example", "Ana Lima");
        let mori: Person = ("m@x.example", "\u{68ee} \u{592a}\u{90ce}");
        let ids: Vec<Id<kinds::User>> = (0..3).map(|at| Id::first_at(Time(at))).collect();
        let people: HashMap<_, _> = ids.iter().copied().zip([zoe, ana, mori]).collect();
        let (written, ana_id, zoe_id) = (people.clone(), ids[1], ids[0]);
        let write = store.write(move |tx| {
            for (id, person) in &written {
                INDEX.update(tx, *id, None, Some(indexed(person)))?;
            }
            Ok::<_, store::Error>(())
        });
        write.await.unwrap();
        let matching = |text: &str, most: usize| -> Vec<Person> {
            let find = |id| Ok(people.get(&id).copied());
            let found = INDEX.matching(&store, text, most, find, indexed).unwrap();
            found.into_iter().map(|(_, person)| person).collect()
        };
        for (text, expected) in [
            ("zoe", vec![zoe]),
            ("ZOE\u{308} m\u{fc}l", vec![zoe]),
            ("lima", vec![zoe, ana]),
            ("lima ana", vec![ana]),
            ("Lima Zoe Ana", vec![]),
            ("z.muller@shop", vec![zoe]),
            ("muller@shop.example", vec![]),
            ("shop.example", vec![zoe]),
            ("\u{68ee}", vec![mori]),
            ("ma", vec![]),
            ("  ", vec![]),
            ("-", vec![]),
        ] {
            assert_eq!(matching(text, 200), expected, "{text}");
        }
        assert_eq!(matching("lima", 1).len(), 1);
        let renamed: Person = ("ana@lima.example", "Ana Costa");
        let write = store.write(move |tx| {
            INDEX.update(tx, ana_id, Some(indexed(&ana)), Some(indexed(&renamed)))?;
            INDEX.update(tx, zoe_id, Some(indexed(&zoe)), None)
        });
        write.await.unwrap();
        let left = store.scan(INDEX.0.all()).unwrap();
        let left: Vec<_> = left.map(|row| row.unwrap().0.0).collect();
        for gone in ["zoe", "muller", "z"] {
            assert!(!left.contains(&gone.to_owned()), "{gone}");
        }
        assert!(left.contains(&"costa".to_owned()));
        assert!(left.contains(&"lima".to_owned()), "of the address");
    }
}
