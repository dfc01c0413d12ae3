//! Export of orders: a list as NDJSON, an order a line, or as CSV, a row for each of its lines.
//!
//! **Invariants:** an export has the orders of the list with the same filters, each once, as they
//! are when its page is read. It holds one page in memory. In CSV no text of a buyer is computed
//! by a spreadsheet.

use bytes::Bytes;
use chassis::export::{ExportFormat, pages};
use chassis::spreadsheet::{BYTE_ORDER_MARK, CsvRow};
use futures::Stream;
use model::{Money, OrderId};
use store::Store;
use tokio::runtime::Handle;

use crate::Error;
use crate::buyers::{Buyers, KnownBuyers};
use crate::domain::{Order, OrderAddress, OrderLine};
use crate::lists::{self, AgeOrder, OrderFilter, SortedRuns};
use crate::wire::OrderWithBuyer;

/// Orders of one page: as many buyers are asked of users at once.
const PAGE_ORDERS: usize = 100;

/// The columns. Those up to `note` are the order's and are repeated on each of its rows.
const COLUMNS: [&str; 31] = [
    "order_id",
    "number",
    "created_at",
    "updated_at",
    "status",
    "payment_status",
    "user_id",
    "buyer_name",
    "buyer_email",
    "currency",
    "discount",
    "shipping",
    "shipping_method",
    "tax",
    "total",
    "refunded_total",
    "carrier",
    "tracking",
    "tracking_url",
    "shipping_address",
    "billing_address",
    "note",
    "line",
    "product_id",
    "sku",
    "title",
    "quantity",
    "unit_price",
    "line_total",
    "line_discount",
    "line_tax",
];

/// The orders of a list as chunks of lines; none without a filter.
pub(crate) fn export(
    store: Store,
    runs: SortedRuns,
    buyers: Buyers,
    filter: Option<OrderFilter>,
    age: AgeOrder,
    format: ExportFormat,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let runtime = Handle::current();
    let mut head = Some(head(format));
    let mut rest = filter.map(|filter| (filter, None));
    pages(move || {
        if let Some(head) = head.take() {
            return Ok(Some(head.into()));
        }
        let Some((filter, after)) = rest.take() else {
            return Ok(None);
        };
        let page = lists::by_age(&store, &runs, &filter, age, after, PAGE_ORDERS)?;
        let orders = page.orders.iter().map(|stored| &stored.order);
        let buyers = runtime.block_on(buyers.of(orders.clone()));
        let lines = lines(orders, &buyers, format)?;
        rest = page.next.map(|after: OrderId| (filter, Some(after)));
        Ok(Some(lines.into()))
    })
}

fn head(format: ExportFormat) -> Vec<u8> {
    if format == ExportFormat::Ndjson {
        return Vec::new();
    }
    let mut head = BYTE_ORDER_MARK.as_bytes().to_vec();
    let mut cells = CsvRow::begin(&mut head);
    COLUMNS.iter().for_each(|name| cells.cell(name));
    cells.end();
    head
}

fn lines<'a>(
    orders: impl Iterator<Item = &'a Order>,
    buyers: &KnownBuyers,
    format: ExportFormat,
) -> Result<Vec<u8>, Error> {
    let mut lines = Vec::new();
    for order in orders {
        match format {
            ExportFormat::Ndjson => {
                let shown = OrderWithBuyer::new(order, buyers);
                serde_json::to_writer(&mut lines, &shown).map_err(Error::Unwritable)?;
                lines.push(b'\n');
            }
            ExportFormat::Csv => {
                for (place, line) in order.lines.iter().enumerate() {
                    write_row(&mut lines, order, buyers, place, line);
                }
            }
        }
    }
    Ok(lines)
}

fn write_row(
    row: &mut Vec<u8>,
    order: &Order,
    buyers: &KnownBuyers,
    place: usize,
    line: &OrderLine,
) {
    let mut cells = CsvRow::begin(row);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let billing = order.billing_address.clone().map(OrderAddress::Typed);
    let money = |amount: i64| Money { amount, ..order.total }.decimal();
    for plain in [
        order.id.to_string(),
        order
            .number
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        order.created_at.to_string(),
        order.updated_at.to_string(),
        order.status.name().to_owned(),
        order.payment_status().name().to_owned(),
        order
            .buyer
            .user_id()
            .map(|id| id.to_string())
            .unwrap_or_default(),
    ] {
        cells.cell(&plain);
    }
    let (name, email) = buyers.of(order).unwrap_or_default();
    cells.foreign_text(name);
    cells.foreign_text(email);
    cells.cell(&order.total.currency.to_string());
    cells.cell(&money(order.charges.discount));
    cells.cell(&money(order.charges.shipping));
    let method = order.charges.shipping_method.as_ref();
    cells.foreign_text(method.map_or("", |method| &method.name));
    cells.cell(&money(order.charges.tax));
    cells.cell(&order.total.decimal());
    cells.cell(&order.refunded_total.decimal());
    cells.foreign_text(&text(&order.parcel.carrier));
    cells.foreign_text(&text(&order.parcel.tracking));
    cells.cell(&order.parcel.tracking_url().unwrap_or_default());
    cells.foreign_text(&lines_of(order.shipping_address.as_ref()));
    cells.foreign_text(&lines_of(billing.as_ref()));
    cells.foreign_text(&text(&order.note));
    cells.cell(&(place + 1).to_string());
    cells.cell(&line.product_id.to_string());
    cells.foreign_text(&line.sku);
    cells.foreign_text(&line.title);
    cells.cell(&line.quantity.to_string());
    cells.cell(&line.unit_price.decimal());
    cells.cell(&line.line_total.decimal());
    cells.cell(&money(line.discount));
    cells.cell(&money(line.tax));
    cells.end();
}

/// An address, a field a line.
fn lines_of(address: Option<&OrderAddress>) -> String {
    let fields = address.map(OrderAddress::fields).into_iter().flatten();
    let lines: Vec<_> = fields
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.join("\n")
}
