//! People by the parts of their address and name: the index behind the search of staff.
//!
//! A part is a run of letters and digits, in lower case and without accents, or the whole
//! address. A search finds the accounts that have, for each of its words, a part that begins
//! with it. It walks the index of the longest word, whose parts are usually the fewest, and looks
//! at the accounts for the others.
//!
//! **Invariant:** the rows of an account are those of [`parts`], written in the transaction that
//! changes it; a search reads at most [`ROWS_MAX`] of them, however many people have such a
//! name.

use std::collections::{BTreeMap, BTreeSet};

use model::{Time, UserId};
use store::{Read, Table, Tx};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::USERS;
use crate::domain::User;

const PEOPLE_BY_PART: Table<(String, UserId), ()> = Table::new("people_by_part");

/// The names of the tables that are made of accounts.
pub(crate) const INDEXES_OF_PEOPLE: &[&str] = &[PEOPLE_BY_PART.name()];

/// Rows of the index that one search reads.
const ROWS_MAX: usize = 2_000;
/// Parts of an account, and words of a search.
const PARTS_MAX: usize = 16;
/// Characters of a part: those of the longest address.
const PART_CHARS_MAX: usize = 254;
/// Characters of a search that are read.
const TEXT_CHARS_MAX: usize = 300;

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

/// The parts that an account is found by.
fn parts(user: &User) -> BTreeSet<String> {
    let (email, name) = (folded(&user.email.to_string()), folded(&user.name));
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

/// Replaces the rows of the account before by those of the account after a change.
pub(super) fn index_person(
    tx: &mut Tx<'_>,
    before: Option<&User>,
    after: Option<&User>,
) -> Result<(), store::Error> {
    let rows = |user: Option<&User>| {
        user.map_or_else(BTreeSet::new, |user| {
            parts(user)
                .into_iter()
                .map(|part| (part, user.id))
                .collect()
        })
    };
    let (before, after) = (rows(before), rows(after));
    for key in before.difference(&after) {
        tx.delete(PEOPLE_BY_PART, key)?;
    }
    for key in after.difference(&before) {
        tx.put(PEOPLE_BY_PART, key, &())?;
    }
    Ok(())
}

/// Writes the rows of an account that an earlier version stored.
pub(crate) fn index_known_person(tx: &mut Tx<'_>, user: &User) -> Result<(), store::Error> {
    index_person(tx, None, Some(user))
}

/// The people that a text finds, at most `count_max`, in order of their accounts; none for a
/// text without letters and digits.
pub(crate) fn matching(
    from: &impl Read,
    text: &str,
    count_max: usize,
) -> Result<Vec<User>, store::Error> {
    let mut words: Vec<String> = words(text).into_iter().collect();
    words.sort_by_key(String::len);
    let Some(longest) = words.pop() else {
        return Ok(Vec::new());
    };
    let mut found = BTreeMap::new();
    let first = UserId::first_at(Time(0));
    let rows = from.scan(PEOPLE_BY_PART.all().from(&(longest.clone(), first)))?;
    for row in rows.take(ROWS_MAX) {
        let ((part, id), ()) = row?;
        if !part.starts_with(&longest) || found.len() >= count_max {
            break;
        }
        let Some(user) = from.get(USERS, &id)? else {
            continue;
        };
        let parts = parts(&user);
        let has = |word: &String| parts.iter().any(|part| part.starts_with(word));
        if words.iter().all(has) {
            found.insert(id, user);
        }
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use store::{Options, Store};

    use super::*;
    use crate::domain::Email;

    fn user(email: &str, name: &str) -> User {
        User::new(Email::parse(email).unwrap(), name.into(), Time(1))
    }

    #[tokio::test]
    async fn people_are_found_by_every_word_of_a_search() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let zoe = user("z.muller@shop.example", "Zo\u{eb} M\u{fc}ller-Lima");
        let ana = user("ana@lima.example", "Ana Lima");
        let mori = user("m@x.example", "\u{68ee} \u{592a}\u{90ce}");
        let people = [zoe.clone(), ana.clone(), mori.clone()];
        let written = people.clone();
        let write = store.write(move |tx| {
            for user in &written {
                tx.put(USERS, &user.id, user)?;
                index_person(tx, None, Some(user))?;
            }
            Ok::<_, store::Error>(())
        });
        write.await.unwrap();
        for (text, expected) in [
            ("zoe", vec![&zoe]),
            ("ZOE\u{308} m\u{fc}l", vec![&zoe]),
            ("lima", vec![&zoe, &ana]),
            ("lima ana", vec![&ana]),
            ("Lima Zoe Ana", vec![]),
            ("z.muller@shop", vec![&zoe]),
            ("muller@shop.example", vec![]),
            ("shop.example", vec![&zoe]),
            ("\u{68ee}", vec![&mori]),
            ("ma", vec![]),
            ("  ", vec![]),
            ("-", vec![]),
        ] {
            let found = matching(&store, text, 200).unwrap();
            let expected: Vec<User> = expected.into_iter().cloned().collect();
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(matching(&store, "lima", 1).unwrap().len(), 1);
        let renamed = ana.renamed(Some("Ana Costa".into()), Time(2));
        let write = store.write(move |tx| {
            index_person(tx, Some(&ana), Some(&renamed))?;
            index_person(tx, Some(&zoe), None)?;
            Ok::<_, store::Error>(())
        });
        write.await.unwrap();
        let left = store.scan(PEOPLE_BY_PART.all()).unwrap();
        let left: Vec<_> = left.map(|row| row.unwrap().0.0).collect();
        for gone in ["zoe", "muller", "z"] {
            assert!(!left.contains(&gone.to_owned()), "{gone}");
        }
        assert!(left.contains(&"costa".to_owned()));
        assert!(left.contains(&"lima".to_owned()), "of the address");
    }
}
