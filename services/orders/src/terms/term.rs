//! [`Term`]: what shipping methods, tax rates and promotions have in common.
//!
//! | table | key → value |
//! | --- | --- |
//! | `shipping_methods`, `tax_rates`, `promotions` | id → [`TermRow`] |
//! | `term_counts` | name of a table → number of its rows |
//!
//! **Invariant:** the indexes of a term and the count of its table change with its row, in
//! [`create`], [`replace`] and [`delete`] only.

use std::fmt::Debug;

use chassis::fields::{Fields, ReadFields, ReadOnly};
use model::{Id, Kind, Time};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use crate::Error;

const COUNTS: Table<String, u64> = Table::new("term_counts");

/// Bytes of a content as JSON, which is never shorter than its row: that stays below the largest
/// stored value with its times.
const CONTENT_BYTES_MAX: usize = 24 * 1024;

/// The content of one kind of the shop's terms, as it is stored and shown.
pub(crate) trait Term:
    ReadFields + Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + 'static
{
    /// What its id names.
    type Kind: Kind;
    /// Its rows.
    const TABLE: Table<TermId<Self>, TermRow<Self>>;
    /// Its name in the plural, for people.
    const NOUN: &'static str;
    /// The path of its list.
    const PATH: &'static str;
    /// The most rows of a shop.
    const ROWS_MAX: u64;
    /// The fields of a response that no request sets.
    const READ_ONLY: &'static [&'static str] = &["id", "created_at", "updated_at"];

    /// Whether everybody may see it.
    fn is_public(&self) -> bool;

    /// Writes its index rows.
    ///
    /// # Errors
    /// When another term has what is unique of it.
    fn index(&self, _: &mut Tx<'_>, _: TermId<Self>) -> Result<(), Error> {
        Ok(())
    }

    /// Deletes its index rows.
    fn unindex(&self, _: &mut Tx<'_>, _: TermId<Self>) -> Result<(), store::Error> {
        Ok(())
    }

    /// How often it is used, where that is counted.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn uses(_: &impl Read, _: TermId<Self>) -> Result<Option<u64>, store::Error> {
        Ok(None)
    }

    /// The number of its index rows that are there; for the consistency check.
    fn index_rows(&self, _: &impl Read, _: TermId<Self>) -> Result<u64, store::Error> {
        Ok(0)
    }
}

/// The id of a term.
pub(crate) type TermId<T> = Id<<T as Term>::Kind>;

/// A term in its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Serialize + DeserializeOwned")]
pub(crate) struct TermRow<T> {
    pub(crate) content: T,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

impl<T: Term> Record for TermRow<T> {}

/// A term in a response.
#[derive(Debug, Serialize)]
#[serde(bound = "T: Term")]
pub(crate) struct TermResponse<T: Term> {
    pub(crate) id: TermId<T>,
    #[serde(flatten)]
    content: T,
    /// Beside the resource: an order changes it, and no version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<u64>,
    created_at: Time,
    updated_at: Time,
}

impl<T: Term> TermResponse<T> {
    /// The same with its uses.
    pub(crate) fn with_uses(self, uses: Option<u64>) -> Self {
        Self { uses, ..self }
    }
}

impl<T: Term> From<(TermId<T>, TermRow<T>)> for TermResponse<T> {
    fn from((id, row): (TermId<T>, TermRow<T>)) -> Self {
        let TermRow { content, created_at, updated_at } = row;
        Self { id, content, uses: None, created_at, updated_at }
    }
}

/// The body that makes or replaces a term.
pub(crate) struct TermBody<T> {
    pub(crate) content: T,
    pub(crate) read_only: ReadOnly,
}

impl<T: Term> ReadFields for TermBody<T> {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let content = T::read(fields);
        let read_only = ReadOnly::read(fields, T::READ_ONLY);
        let content = content?;
        let bytes = serde_json::to_vec(&content).map_or(0, |json| json.len());
        if bytes > CONTENT_BYTES_MAX {
            let most = CONTENT_BYTES_MAX;
            fields.fault(
                "",
                format!("has {bytes} bytes as JSON; at most {most} are allowed"),
            );
        }
        Some(Self { content, read_only })
    }
}

/// One term.
pub(crate) fn find<T: Term>(from: &impl Read, id: TermId<T>) -> Result<TermRow<T>, Error> {
    from.get(T::TABLE, &id)?.ok_or(Error::NotFound)
}

/// Makes a term.
///
/// # Errors
/// When the shop has as many as it may have, or another has what is unique of it.
pub(crate) fn create<T: Term>(
    tx: &mut Tx<'_>,
    content: T,
    now: Time,
) -> Result<(TermId<T>, TermRow<T>), Error> {
    let count = count_of(tx, T::TABLE.name())?;
    if count >= T::ROWS_MAX {
        return Err(Error::TooManyTerms { noun: T::NOUN, most: T::ROWS_MAX });
    }
    set_count(tx, T::TABLE.name(), count + 1)?;
    let id = Id::new();
    content.index(tx, id)?;
    let row = TermRow { content, created_at: now, updated_at: now };
    tx.put(T::TABLE, &id, &row)?;
    Ok((id, row))
}

/// Replaces the content of a term.
///
/// # Errors
/// When another term has what is unique of it.
pub(crate) fn replace<T: Term>(
    tx: &mut Tx<'_>,
    id: TermId<T>,
    former: TermRow<T>,
    content: T,
    now: Time,
) -> Result<TermRow<T>, Error> {
    former.content.unindex(tx, id)?;
    content.index(tx, id)?;
    let row = TermRow { content, updated_at: now, ..former };
    tx.put(T::TABLE, &id, &row)?;
    Ok(row)
}

/// Deletes a term.
pub(crate) fn delete<T: Term>(
    tx: &mut Tx<'_>,
    id: TermId<T>,
    former: &TermRow<T>,
) -> Result<(), store::Error> {
    former.content.unindex(tx, id)?;
    let count = count_of(tx, T::TABLE.name())?;
    set_count(tx, T::TABLE.name(), count.saturating_sub(1))?;
    tx.delete(T::TABLE, &id)
}

/// The number of rows of a table of terms.
pub(super) fn count_of(from: &impl Read, table: &str) -> Result<u64, store::Error> {
    Ok(from.get(COUNTS, &table.to_owned())?.unwrap_or(0))
}

fn set_count(tx: &mut Tx<'_>, table: &str, count: u64) -> Result<(), store::Error> {
    tx.put(COUNTS, &table.to_owned(), &count)
}
