//! The vocabulary that all services share: ids, money, time and the facts that
//! events carry.
//!
//! The types are here, below storage and transport, so that a service, the log and
//! the gateway mean the same by an amount or an id. **Invariant:** this crate knows no
//! storage, no transport and no HTTP.
//!
//! | module | holds |
//! | --- | --- |
//! | `address` | [`Address`], [`Country`] by ISO 3166-1 |
//! | `carrier` | the page that follows a parcel |
//! | `email` | [`Email`]: an address, its limits and the form in which it is compared |
//! | `id` | [`Id`]: TypeIDs with a kind each |
//! | `listing` | [`Listing`]: the part of a product that its events carry |
//! | `money` | [`Money`] in minor units, [`Currency`] by ISO 4217 |
//! | `tax_class` | [`TaxClass`]: what is taxed alike |
//! | `text` | whether a name or title is legible |
//! | `time` | [`Time`]: milliseconds since 1970, UTC; [`Day`] |
//! | `fact` | [`Fact`]: every kind of event and what it carries |
//! | `notice` | [`NOTICES`]: the kinds of messages to staff that are no event |

mod address;
mod carrier;
mod email;
mod fact;
mod id;
mod listing;
mod money;
mod notice;
mod tax_class;
mod text;
mod time;

pub use address::{Address, Country, NotACountry};
pub use carrier::tracking_url;
pub use email::Email;
pub use fact::{
    CodePurpose, Fact, ItemOrdered, KeyPublished, Mismatch, OrderField, RefundFault,
    RevocationReason, Shortage, UndoneStep, UserField,
};
pub use id::{
    AddressId, ApiKeyId, CartId, CustomerId, EmailChangeId, Id, Kind, NotAnId, OrderId, ProductId,
    PromotionId, SessionId, ShippingMethodId, TaxRateId, UserId, kinds,
};
pub use listing::{Listing, PublicationStatus};
pub use money::{Currency, Money, NotACurrency};
pub use notice::{NOTICES, described_kinds};
pub use tax_class::{NotATaxClass, TaxClass};
pub use text::{ILLEGIBLE, is_legible, is_visible_throughout, normalised};
pub use time::{Day, NotADay, NotATime, Time, now};
