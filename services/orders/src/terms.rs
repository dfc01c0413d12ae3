//! The shop's terms of sale: shipping methods, tax rates and promotions, which admins write and
//! [`pricing`] applies.
//!
//! The three nouns differ in their fields and indexes alone, so each is a content that implements
//! [`Term`], and everything else is written once: rows, transactions, handlers (`http::terms`).
//! Nothing else holds a reference to a row that would keep it from being deleted: a cart or a
//! promotion that names one that is gone finds nothing under its id.
//!
//! | noun | who reads it | most of a shop | read by pricing |
//! | --- | --- | --- | --- |
//! | shipping method | anyone, while it is offered | 200 | all, to list those that fit |
//! | tax rate | anyone | 2,000 | those of one country |
//! | promotion | admins | 10,000, of them 100 without a code | by code, and all without one |
//!
//! **Invariant:** what a read needs of them is bounded by the numbers above.
//!
//! | module | holds |
//! | --- | --- |
//! | `term` | [`Term`], its row, its body, the transactions over its table |
//! | `shipping` | shipping methods |
//! | `tax` | tax rates, at most one for a place and a tax class |
//! | `promotions` | promotions, at most one for a code |
//! | `reading` | fields that several have |
//! | `priced` | what pricing reads of them |
//! | `uses` | how often promotions are used |
//! | `check` | the consistency check of their indexes |

pub(crate) mod check;
pub(crate) mod priced;
mod promotions;
pub(crate) mod reading;
mod shipping;
mod tax;
mod term;
#[cfg(test)]
mod tests;
pub(crate) mod uses;

pub(crate) use self::{
    promotions::PromotionContent,
    shipping::ShippingMethodContent,
    tax::TaxRateContent,
    term::{Term, TermBody, TermId, TermResponse, TermRow, create, delete, find, replace},
};
