//! Export: the catalogue as NDJSON or CSV, in the formats of import.
//!
//! **Invariant:** an import of an export changes nothing.

mod table;

use ::store::{Read, Store};
use bytes::Bytes;
use chassis::Problem;
use chassis::export::{ExportFormat, PAGE_BYTES};
use futures::Stream;
use serde::Serialize;

use self::table::Table;
use crate::Error;
use crate::domain::{Content, ProductId, StockLevel};
use crate::tables::{self, PRODUCTS};

/// A line of JSON.
#[derive(Serialize)]
struct Exported<'a> {
    #[serde(flatten)]
    content: &'a Content,
    stock: i64,
}

/// The writer of a format.
enum LineWriter {
    Ndjson,
    Csv(Table),
}

impl LineWriter {
    fn new(format: ExportFormat, store: &Store) -> Result<Self, Error> {
        Ok(match format {
            ExportFormat::Ndjson => Self::Ndjson,
            ExportFormat::Csv => Self::Csv(Table::of_catalogue(store)?),
        })
    }

    /// What stands before the first product.
    fn head(&self) -> Vec<u8> {
        match self {
            Self::Ndjson => Vec::new(),
            Self::Csv(table) => table.head(),
        }
    }

    fn write(&self, page: &mut Vec<u8>, content: &Content, level: StockLevel) -> Result<(), Error> {
        match self {
            Self::Ndjson => {
                let line = Exported { content, stock: level.on_hand };
                serde_json::to_writer(&mut *page, &line)
                    .map_err(|error| Error::Refused(Problem::internal(error)))?;
                page.push(b'\n');
            }
            Self::Csv(table) => table.write(page, content, level),
        }
        Ok(())
    }
}

/// Every product in any status, oldest first, as chunks of lines.
pub(crate) fn export(
    store: Store,
    format: ExportFormat,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let mut begun: Option<(LineWriter, Option<ProductId>)> = None;
    chassis::export::pages(move || match &mut begun {
        None => {
            let writer = LineWriter::new(format, &store)?;
            let head = writer.head();
            begun = Some((writer, None));
            Ok(Some(head.into()))
        }
        Some((writer, after)) => {
            let page = export_page(&store, writer, after.as_ref())?;
            Ok(page.map(|(page, last)| {
                *after = Some(last);
                page
            }))
        }
    })
}

fn export_page(
    store: &Store,
    writer: &LineWriter,
    after: Option<&ProductId>,
) -> Result<Option<(Bytes, ProductId)>, Error> {
    let rows = match after {
        Some(last) => PRODUCTS.all().after(last),
        None => PRODUCTS.all(),
    };
    let (mut page, mut last) = (Vec::with_capacity(PAGE_BYTES), None);
    for row in store.scan(rows)? {
        let (id, product) = row?;
        let level = tables::level(store, id)?.unwrap_or_default();
        writer.write(&mut page, &product.content, level)?;
        last = Some(id);
        if page.len() >= PAGE_BYTES {
            break;
        }
    }
    Ok(last.map(|last| (page.into(), last)))
}
