//! Golden bytes of the rows: a change here is a change of the stored format.

use std::time::Duration;

use model::{OrderField, UndoneStep};

use super::*;
use crate::domain::tests::order;
use crate::domain::{
    Actor, ChosenPayment, OrderCause, OrderCommand, PaymentDetails, PaymentMethod, Revival,
    Settlement, StatusChange,
};

const UUID: &[u8] = b"\xc4\x10\x01\x89\x0a\x5d\xac\x96\x77\x4b\xbc\xce\xb3\x02\x09\x9a\x80\x57";
const MONEY: &[u8] = b"\x82\xa6amount\xcd\x07\xcf\xa8currency\xa3EUR";

fn stored(order: Order) -> StoredOrder {
    StoredOrder { order, accepted: false, line_parts: 0, history_rows: 0 }
}

fn assert_bytes(stored: &StoredOrder, golden: &[u8]) {
    assert_eq!(store::encode(&stored.to_row()).unwrap(), golden);
    let row: OrderRow = store::decode(golden).unwrap();
    assert_eq!(&StoredOrder::from(row), stored);
}

#[test]
fn golden_bytes() {
    let mut order = order(1999);
    let cause = OrderCause::new(Time(2), Actor::Products);
    let command = OrderCommand::Confirm { reserved_until: Some(Time(3)) };
    order.apply(command, &cause).unwrap();
    let golden = [
        b"\x01\x8b\xa2id".as_slice(),
        UUID,
        b"\xa7user_id",
        UUID,
        b"\xa6status\xa9confirmed\xa5lines\x91\x86\xaaproduct_id",
        UUID,
        b"\xa3sku\xa4LAMP\xa5title\xa9Desk lamp\xa8quantity\x01\xaaunit_price",
        MONEY,
        b"\xaaline_total",
        MONEY,
        b"\xa5total",
        MONEY,
        b"\xaerefunded_total\x82\xa6amount\x00\xa8currency\xa3EUR",
        b"\xaarequest_id\xa1r\xaasettled_at\x02\xaereserved_until\x03",
        b"\xaacreated_at\x01\xaaupdated_at\x02",
    ];
    assert_bytes(&stored(order), &golden.concat());
}

/// An order with every optional field.
#[test]
fn golden_bytes_of_a_full_row() {
    let mut order = order(1999);
    order.status = OrderStatus::Cancelled;
    let address = [("city".to_owned(), "Kobe".to_owned())].into();
    order.shipping_address = Some(OrderAddress::FreeForm(address));
    order.note = Some("ring".into());
    order.language = Some("de".into());
    order.stock_outcome_at = Some(Time(2));
    order.shortages = vec![Shortage {
        product_id: order.lines[0].product_id,
        requested: 3,
        available: -1,
    }];
    order.reserved_until = Some(Time(3));
    order.payment = Some("pay_1".into());
    order.settlement = Settlement {
        chosen: Some(ChosenPayment { method: PaymentMethod::Transfer, until: Some(Time(4)) }),
        received: Some(PaymentMethod::OnDelivery),
        owed: true,
        at_once: true,
        revival: Revival::Awaited,
        cancel_requested_at: Some(Time(5)),
        uncounted: Duration::from_millis(6),
        refund_pending: 7,
        partly_paid: 8,
        kept: true,
    };
    order.parcel = Parcel { carrier: Some("UPS".into()), tracking: Some("1Z".into()) };
    let stored = StoredOrder { accepted: true, line_parts: 1, history_rows: 2, order };
    let golden = [
        b"\x01\xde\x00\x16\xa2id".as_slice(),
        UUID,
        b"\xa7user_id",
        UUID,
        b"\xa6status\xa9cancelled\xa5lines\x91\x86\xaaproduct_id",
        UUID,
        b"\xa3sku\xa4LAMP\xa5title\xa9Desk lamp\xa8quantity\x01\xaaunit_price",
        MONEY,
        b"\xaaline_total",
        MONEY,
        b"\xaaline_parts\x01\xa5total",
        MONEY,
        b"\xaerefunded_total\x82\xa6amount\x00\xa8currency\xa3EUR",
        b"\xb0shipping_address\x81\xa4city\xa4Kobe\xa4note\xa4ring\xa8language\xa2de",
        b"\xaarequest_id\xa1r\xaasettled_at\x02\xa9shortages\x91\x83\xaaproduct_id",
        UUID,
        b"\xa9requested\x03\xa9available\xff\xaereserved_until\x03\xa7payment\xa5pay_1",
        b"\xaasettlement\x8b\xa6method\xa8transfer\xa5until\x04\xa8received\xabon_delivery",
        b"\xa4owed\xc3\xa7at_once\xc3\xa7revival\xa7awaited\xb3cancel_requested_at\x05\xacuncounted_ms\x06",
        b"\xaerefund_pending\x07\xabpartly_paid\x08\xa4kept\xc3",
        b"\xa7carrier\xa3UPS\xa8tracking\xa21Z\xa8accepted\xc3\xa7changes\x02\xaacreated_at\x01\xaaupdated_at\x01",
    ];
    assert_bytes(&stored, &golden.concat());
}

#[test]
fn golden_bytes_of_history() {
    let cause = OrderCause::new(Time(4), Actor::Payments).because("pay_1");
    let paid = StatusChange {
        refunded: Some(Money { amount: 5, currency: "EUR".parse().unwrap() }),
        parcel: Parcel { carrier: Some("Yamato".into()), tracking: Some("123".into()) },
        ..StatusChange::new(Some(OrderStatus::Confirmed), OrderStatus::Paid, &cause)
    };
    let golden = [
        b"\x01\x88\xa2at\x04\xa4from\xa9confirmed\xa2to\xa4paid\xa2by\xa8payments".as_slice(),
        b"\xa6reason\xa5pay_1\xa8refunded\x82\xa6amount\x05\xa8currency\xa3EUR",
        b"\xa7carrier\xa6Yamato\xa8tracking\xa3123",
    ];
    let cause = OrderCause::new(Time(4), Actor::Products);
    let placed = StatusChange::new(None, OrderStatus::Pending, &cause);
    let golden_placed =
        b"\x01\x85\xa2at\x04\xa4from\xc0\xa2to\xa7pending\xa2by\xa8products\xa6reason\xc0";
    let by_hand = StatusChange {
        reason: None,
        payment: PaymentDetails {
            reference: Some("R1".into()),
            method: Some("cash".into()),
            amount: Some(Money { amount: 5, currency: "EUR".parse().unwrap() }),
        },
        corrected: vec![OrderField::Carrier],
        note: Some("ring".into()),
        ..StatusChange::within(OrderStatus::Paid, &cause)
    };
    let golden_by_hand = [
        b"\x01\x88\xa2at\x04\xa4from\xa4paid\xa2to\xa4paid\xa2by\xa8products\xa6reason\xc0"
            .as_slice(),
        b"\xa7payment\x83\xa9reference\xa2R1\xa6method\xa4cash\xa6amount",
        b"\x82\xa6amount\x05\xa8currency\xa3EUR",
        b"\xa9corrected\x91\xa7carrier\xa4note\xa4ring",
    ];
    let undone = StatusChange {
        undone: Some(UndoneStep::Paid),
        ..StatusChange::new(Some(OrderStatus::Paid), OrderStatus::Confirmed, &cause)
    };
    let golden_undone = [
        b"\x01\x86\xa2at\x04\xa4from\xa4paid\xa2to\xa9confirmed\xa2by\xa8products".as_slice(),
        b"\xa6reason\xc0\xa6undone\xa4paid",
    ];
    for (change, golden) in [
        (undone, golden_undone.concat()),
        (paid, golden.concat()),
        (placed, golden_placed.to_vec()),
        (by_hand, golden_by_hand.concat()),
    ] {
        let bytes = store::encode(&StatusChangeRow::from(&change)).unwrap();
        assert_eq!(bytes, golden);
        let row: StatusChangeRow = store::decode(&golden).unwrap();
        assert_eq!(StatusChange::from(row), change);
    }
}

#[test]
fn golden_bytes_of_a_payment() {
    let message = PaymentMessage {
        result: PaymentResult::Succeeded,
        order_id: Some("order_01h455vb4pex5vsknk084sn02q".parse().unwrap()),
        amount: Money { amount: 5, currency: "EUR".parse().unwrap() },
        reference: "pay_1".into(),
        method: None,
    };
    let outcome = PaymentOutcome::Unmatched(Mismatch::WrongAmount);
    let payment = PaymentRow::new(Time(4), Some(message), outcome);
    let golden = [
        b"\x01\x83\xa2at\x04\xa7message\x84\xa9succeeded\xc3\xa8order_id".as_slice(),
        UUID,
        b"\xa6amount\x82\xa6amount\x05\xa8currency\xa3EUR\xa9reference\xa5pay_1",
        b"\xa7outcome\x81\xa9unmatched\xacwrong_amount",
    ];
    assert_eq!(store::encode(&payment).unwrap(), golden.concat());
    let row: PaymentRow = store::decode(&golden.concat()).unwrap();
    assert_eq!(row.outcome, outcome);
    let report = PaymentMessage {
        result: PaymentResult::Disputed,
        order_id: None,
        ..payment.message().unwrap()
    };
    let report = PaymentRow::new(Time(4), Some(report), PaymentOutcome::Reported);
    let bytes = store::encode(&report).unwrap();
    let golden_report = [
        b"\x01\x83\xa2at\x04\xa7message\x85\xa9succeeded\xc2\xa6report\xa8disputed".as_slice(),
        b"\xa8order_id\xc0\xa6amount\x82\xa6amount\x05\xa8currency\xa3EUR\xa9reference\xa5pay_1",
        b"\xa7outcome\xa8reported",
    ];
    assert_eq!(bytes, golden_report.concat());
    let unreadable = PaymentOutcome::Unmatched(Mismatch::Unreadable);
    let unreadable = store::encode(&PaymentRow::new(Time(4), None, unreadable)).unwrap();
    assert_eq!(
        unreadable,
        b"\x01\x82\xa2at\x04\xa7outcome\x81\xa9unmatched\xaaunreadable"
    );
    let payment: PaymentRow = store::decode(&golden.concat()).unwrap();
    let awaiting = PaymentRow { outcome: PaymentOutcome::Awaiting, ..payment };
    let bytes = store::encode(&awaiting).unwrap();
    assert!(bytes.ends_with(b"\xa7outcome\xa8awaiting"));
}

/// A listing at its defaults has the bytes of an earlier version, which had nothing else.
#[test]
fn golden_bytes_of_a_listing() {
    let listing = Listing {
        product_id: order(1999).lines[0].product_id,
        sku: "LAMP".into(),
        title: "Desk lamp".into(),
        price: Money { amount: 1999, currency: "EUR".parse().unwrap() },
        status: model::PublicationStatus::Published,
        category: Some("Lamps".into()),
        other_categories: Vec::new(),
        weight_g: None,
        tax_class: model::TaxClass::default(),
        requires_shipping: true,
    };
    let full = Listing {
        other_categories: vec!["Sale".into()],
        weight_g: Some(900),
        tax_class: "reduced".parse().unwrap(),
        requires_shipping: false,
        ..listing.clone()
    };
    let earlier = [
        UUID,
        b"\xa3sku\xa4LAMP\xa5title\xa9Desk lamp\xa5price",
        MONEY,
        b"\xa6status\xa9published\xa8category\xa5Lamps",
    ]
    .concat();
    let added = b"\xb0other_categories\x91\xa4Sale\xa8weight_g\xcd\x03\x84\xa9tax_class\xa7reduced\xb1requires_shipping\xc2";
    for (listing, fields, added) in [(listing, b"\x86", &[][..]), (full, b"\x8a", added)] {
        let head = b"\x01\x81\xa7listing".as_slice();
        let golden = [head, fields, b"\xaaproduct_id", &earlier, added].concat();
        let row = ListingRow { listing: listing.clone() };
        assert_eq!(store::encode(&row).unwrap(), golden);
        let row: ListingRow = store::decode(&golden).unwrap();
        assert_eq!(row.listing, listing);
    }
}
