//! Fields of facts: lines of an order, and why something happened.
//!
//! **Invariant:** an enumeration has a variant for names that this program does not know, so a
//! newer version's fact is still read.

use serde::{Deserialize, Serialize};

use crate::{Id, kinds};

/// One line of an order, as products needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemOrdered {
    /// The product.
    pub product_id: Id<kinds::Product>,
    /// Units, 1..=1000.
    pub quantity: u32,
}

/// A line that could not be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// The product.
    pub product_id: Id<kinds::Product>,
    /// Units requested.
    pub requested: u32,
    /// Units available.
    pub available: i64,
}

/// A part of an account that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserField {
    /// The name.
    Name,
    /// The e-mail address.
    Email,
    /// Whether the address is verified.
    EmailVerified,
    /// The password.
    Password,
    /// The roles.
    Roles,
    /// Active or disabled.
    Status,
    /// Whether a second factor is enrolled.
    SecondFactor,
    /// A part this program does not know.
    #[serde(other)]
    Unknown,
}

/// A field of an order that staff can correct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderField {
    /// The address that it is sent to.
    ShippingAddress,
    /// Who carries the parcel.
    Carrier,
    /// The carrier's number of it.
    Tracking,
    /// A field this program does not know.
    #[serde(other)]
    Unknown,
}

/// A step of an order that staff can undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoneStep {
    /// It was recorded as paid.
    Paid,
    /// It was shipped.
    Shipped,
    /// It was delivered.
    Delivered,
    /// A step this program does not know.
    #[serde(other)]
    Unknown,
}

/// The purpose of a one-time code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodePurpose {
    /// Setting a new password without the old one.
    PasswordReset,
    /// Verifying the account's address.
    EmailVerification,
    /// Changing the account's address to the one that the code is sent to.
    EmailChange,
    /// Something this program does not know.
    #[serde(other)]
    Unknown,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    /// Its owner ended it, here or from another login.
    Ended,
    /// A spent refresh token was used again, so it may have been stolen.
    Reused,
    /// The password was changed.
    PasswordChanged,
    /// The account was disabled, erased, or lost a role.
    AccountChanged,
    /// A newer session took its place.
    TooMany,
    /// A reason this program does not know.
    #[serde(other)]
    Unknown,
}

/// Why money of a refund, which a payment provider was asked for, is not with the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundFault {
    /// The provider refused the refund, or failed to make it.
    Refused,
    /// The provider made it, and the money came back to the shop.
    Returned,
    /// The provider did not say in time whether it made it.
    Unanswered,
    /// A reason this program does not know.
    #[serde(other)]
    Unknown,
}

/// Why a payment fits no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// There is no such order.
    UnknownOrder,
    /// The amount or the currency is not the order's.
    WrongAmount,
    /// The order was already paid for.
    AlreadyPaid,
    /// The order is over: cancelled, rejected, or refunded.
    OrderOver,
    /// The message about it could not be read.
    Unreadable,
    /// A reason this program does not know.
    #[serde(other)]
    Unknown,
}
