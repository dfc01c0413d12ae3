//! The order of lists by title, built for products that an earlier version stored.
//!
//! A row is found by its key, so rows with keys of two versions cannot share a table. A start
//! that finds rows in the former table writes those of the present one, in batches, and then
//! deletes the former ones.
//!
//! **Invariant:** as long as the former table has rows, the present one may lack some, and
//! nothing is served. A build that was interrupted begins anew and writes the same rows.

use model::ProductId;
use store::{Read, Store, Table};

use crate::indexes::{self, IndexKey, IndexTable};
use crate::tables::PRODUCTS;

/// In order of the title's code points in lower case.
const FORMER: IndexTable<(String, ProductId)> = Table::new("shelf_by_title");

/// Products, and deleted rows, of one transaction: enough to share its sync, few enough that
/// memory does not grow with the catalogue.
const BATCH: usize = 500;

/// Builds the order of lists by title if the store has that of an earlier version.
///
/// # Errors
/// When the store cannot be read or written; the next start goes on.
pub(crate) async fn build(store: &Store) -> Result<(), store::Error> {
    if store.scan(FORMER.all())?.next().is_none() {
        return Ok(());
    }
    tracing::info!("building the order of lists by title anew");
    let (mut last, mut products) = (None, 0);
    loop {
        let rows = match &last {
            Some(last) => PRODUCTS.all().after(last),
            None => PRODUCTS.all(),
        };
        let batch = store.scan(rows)?.take(BATCH);
        let batch = batch.collect::<Result<Vec<_>, _>>()?;
        let Some((id, _)) = batch.last() else { break };
        last = Some(*id);
        products += batch.len();
        let write = store.write(move |tx| {
            for (_, product) in &batch {
                indexes::put_titles(tx, product)?;
            }
            Ok::<_, store::Error>(())
        });
        write.await?;
    }
    delete_former(store).await?;
    tracing::info!(products, "the order of lists by title is built");
    Ok(())
}

async fn delete_former(store: &Store) -> Result<(), store::Error> {
    loop {
        type Key = (IndexKey, (String, ProductId));
        let keys = store.scan(FORMER.all())?.take(BATCH);
        let keys = keys.map(|row| row.map(|(key, ())| key));
        let keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Ok(());
        }
        let write = store.write(move |tx| {
            for key in keys {
                tx.delete(FORMER, &key)?;
            }
            Ok::<_, store::Error>(())
        });
        write.await?;
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use store::Options;

    use super::*;
    use crate::domain::Product;
    use crate::indexes::BY_TITLE;
    use crate::submission;

    const PRODUCTS_OF_THE_TEST: i64 = 2 * BATCH as i64 + 7;

    fn product(number: i64) -> Product {
        let text = format!(
            r#"{{"sku":"S{number}","title":"Kabel {number}","brand":"Mori","categories":["A > B"],"price":{{"amount":{number},"currency":"EUR"}}}}"#
        );
        Product {
            id: ProductId::new(),
            content: submission::read(text.as_bytes()).unwrap().content,
            created_at: model::Time(number),
            updated_at: model::Time(number),
            opening: None,
        }
    }

    /// A shop of an earlier version, whose build was cut off once.
    #[test]
    fn products_of_an_earlier_version_are_in_the_present_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &Options::default()).unwrap();
        let products: Vec<Product> = (0..PRODUCTS_OF_THE_TEST).map(product).collect();
        let written = products.clone();
        block_on(store.write(move |tx| {
            for product in &written {
                tx.put(PRODUCTS, &product.id, product)?;
                indexes::update(tx, product.id, None, Some(product))?;
                let title = product.content.title.to_lowercase();
                tx.put(FORMER, &([7; 8], (title, product.id)), &())?;
            }
            Ok::<_, store::Error>(())
        }))
        .unwrap();
        let rows = store.scan(BY_TITLE.all()).unwrap().skip(9);
        let lost: Vec<_> = rows.map(|row| row.unwrap().0).collect();
        block_on(store.write(move |tx| lost.iter().try_for_each(|key| tx.delete(BY_TITLE, key))))
            .unwrap();
        block_on(build(&store)).unwrap();
        for product in &products {
            let rows = indexes::rows_of(&store, product).unwrap();
            assert_eq!(rows, Some(4), "{}", product.content.title);
        }
        assert_eq!(indexes::count(&store, FORMER).unwrap(), 0);
        let rows = 4 * products.len() as u64;
        assert_eq!(indexes::count(&store, BY_TITLE).unwrap(), rows);
        let keys = indexes::list(model::PublicationStatus::Draft, None, None);
        let scan = indexes::merge_scan(&store, BY_TITLE, keys, None, indexes::Direction::Ascending);
        let ids: Vec<_> = scan.unwrap().map(|place| place.unwrap().1).collect();
        let expected: Vec<_> = products.iter().map(|product| product.id).collect();
        assert_eq!(ids, expected, "`Kabel 10` comes after `Kabel 2`");
    }
}
