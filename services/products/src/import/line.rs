//! A line of a file, and what it does to the catalogue.
//!
//! **Invariants:** a line is a merge patch (RFC 7396) of the product with its SKU, so that it
//! leaves alone what it does not name; a decision is made from rows alone and writes nothing,
//! so that a dry run decides as an import does.

use ::store::{Read, Tx};
use chassis::FieldError;
use chassis::fields::{BodyFault, Fields};
use chassis::json::parse_fields;
use mesh::Cause;
use model::Currency;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

use super::cells::{Omissions, ProductCells};
use crate::domain::{Content, Product, StockLevel};
use crate::effects::Effects;
use crate::submission::{self, Submission};
use crate::wire::ProductResponse;
use crate::{Error, catalogue, stock, tables};

/// The reason of a movement by an import.
const STOCK_REASON: &str = "import";
/// The fields that no product is without: a line cannot clear them.
const REQUIRED: [&str; 3] = ["sku", "title", "price"];

/// Which products an import may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ImportMode {
    /// Creates products and updates known ones.
    #[default]
    Upsert,
    /// Creates products only.
    Create,
    /// Updates known products only.
    Update,
}

/// What the stock of a line does to a known product. A new product has it either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum StockRule {
    /// Nothing: stock has moved since the file was written.
    #[default]
    Initial,
    /// Sets the level.
    Set,
}

/// How lines are decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImportRules {
    pub(crate) mode: ImportMode,
    pub(crate) stock: StockRule,
    /// Of prices in a table that names none, as the caller says.
    pub(crate) currency: Option<Currency>,
    /// Of such prices of new products, if the caller says nothing.
    pub(crate) currency_default: Currency,
}

/// A line of a file: the SKU of a product, and changes of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProductLine {
    /// In the form in which it is stored.
    pub(crate) sku: String,
    patch: LinePatch,
}

#[derive(Debug, Clone, PartialEq)]
enum LinePatch {
    /// A JSON document.
    Json(Vec<u8>),
    Cells(Box<ProductCells>),
}

/// The member of a JSON document that names its product.
#[derive(Deserialize)]
struct Keyed<'a> {
    #[serde(borrow)]
    sku: Cow<'a, str>,
}

impl ProductLine {
    /// A line of JSON.
    ///
    /// # Errors
    /// Every fault of it, if it names no product.
    pub(super) fn of_json(text: &[u8]) -> Result<Self, BodyFault> {
        let sku = serde_json::from_slice::<Keyed<'_>>(text)
            .map_err(|error| error.to_string())
            .and_then(|keyed| submission::sku(&keyed.sku));
        match sku {
            Ok(sku) => Ok(Self { sku, patch: LinePatch::Json(text.to_vec()) }),
            Err(why) => {
                submission::read(text)?;
                Err(BodyFault::Unreadable(why))
            }
        }
    }

    /// A record of a table.
    ///
    /// # Errors
    /// Every fault of the cells, if they name no product.
    pub(super) fn of_cells(cells: ProductCells) -> Result<Self, BodyFault> {
        Ok(Self { sku: cells.sku()?, patch: LinePatch::Cells(Box::new(cells)) })
    }

    /// What the line has beyond the bounds of a product; JSON has nothing, and fails instead.
    pub(super) fn omissions(&self) -> Option<&Omissions> {
        match &self.patch {
            LinePatch::Json(_) => None,
            LinePatch::Cells(cells) => Some(cells.omissions()),
        }
    }

    /// The product that the line makes, if there is none with its SKU.
    ///
    /// # Errors
    /// Every fault of it.
    pub(crate) fn whole(&self, rules: &ImportRules) -> Result<Submission, BodyFault> {
        let submission = match &self.patch {
            LinePatch::Json(text) => submission::read(text),
            LinePatch::Cells(cells) => {
                let currency = cells.currency_named().or(rules.currency);
                let fields = cells.whole(currency.unwrap_or(rules.currency_default))?;
                submission::read(fields.to_string().as_bytes())
            }
        };
        submission.and_then(Submission::of_new)
    }

    /// The product after the changes of the line.
    ///
    /// # Errors
    /// Every fault of it.
    pub(crate) fn patched(
        &self,
        present: &Content,
        rules: &ImportRules,
    ) -> Result<Submission, BodyFault> {
        let mut patch: Value = match &self.patch {
            LinePatch::Json(text) => {
                Fields::check_names::<Submission>(text)?;
                parse_fields(text)?
            }
            LinePatch::Cells(cells) => {
                cells.require_price_unless(present.price.currency)?;
                let currency = cells.currency_named().or(rules.currency);
                cells.patch(currency.unwrap_or(present.price.currency))?
            }
        };
        if let Value::Object(members) = &mut patch {
            for name in REQUIRED {
                if members.get(name).is_some_and(Value::is_null) {
                    members.remove(name);
                }
            }
        }
        submission::read_merged(present, patch)
    }

    /// The faults of a new product, which say that it is one: a known product may leave out
    /// what a new one needs, and its SKU may be misspelt.
    fn explained(&self, mut faults: Vec<FieldError>) -> Vec<FieldError> {
        for fault in &mut faults {
            if fault.detail == chassis::fields::REQUIRED {
                fault.detail += &format!(", as no product has the SKU `{}` yet", self.sku);
            }
        }
        faults
    }

    /// The currency of the price of a new product, where only the settings name one.
    fn assumed_currency(&self, rules: &ImportRules) -> Option<Currency> {
        match &self.patch {
            LinePatch::Cells(cells) if cells.has_price() => {
                let named = cells.currency_named().or(rules.currency);
                named.is_none().then_some(rules.currency_default)
            }
            _ => None,
        }
    }
}

/// What a line does.
#[derive(Debug)]
pub(super) struct LineEffect {
    change: LineChange,
    /// The currency of its price, if nothing names one.
    pub(super) assumed_currency: Option<Currency>,
    /// Whether its stock is left alone.
    pub(super) ignores_stock: bool,
}

#[derive(Debug)]
enum LineChange {
    Create(Box<Submission>),
    Update(Box<ProductUpdate>),
}

/// A change of a known product, and what it was decided from.
#[derive(Debug)]
struct ProductUpdate {
    present: Product,
    level: StockLevel,
    content: Content,
    /// Units on hand, if they are set.
    on_hand: Option<i64>,
}

/// The result of an imported line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineOutcome {
    Created,
    Updated,
    Unchanged,
}

impl LineEffect {
    /// Decides what a line does, by the rows as they are.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Unreadable`] when the line is at fault.
    pub(super) fn of(
        line: &ProductLine,
        rules: &ImportRules,
        rows: &impl Read,
    ) -> Result<Self, Error> {
        let Some(id) = tables::id_of_sku(rows, &line.sku)? else {
            return Self::create(line, rules);
        };
        match tables::product(rows, id) {
            Ok(product) => Self::update(line, rules, product),
            // Removed between the two reads; in a transaction they agree.
            Err(Error::NotFound) => Self::create(line, rules),
            Err(failure) => Err(failure),
        }
    }

    fn create(line: &ProductLine, rules: &ImportRules) -> Result<Self, Error> {
        if rules.mode == ImportMode::Update {
            let why = format!(
                "no product has the SKU `{}`, and `mode=update` creates none",
                line.sku
            );
            return Err(invalid("/sku", why));
        }
        let submission = line.whole(rules).map_err(|fault| match fault {
            BodyFault::Invalid(faults) => Error::Invalid(line.explained(faults)),
            unreadable => unreadable.into(),
        })?;
        Ok(Self {
            change: LineChange::Create(Box::new(submission)),
            assumed_currency: line.assumed_currency(rules),
            ignores_stock: false,
        })
    }

    fn update(
        line: &ProductLine,
        rules: &ImportRules,
        (present, level): (Product, StockLevel),
    ) -> Result<Self, Error> {
        if rules.mode == ImportMode::Create {
            let why = format!(
                "a product has the SKU `{}`, and `mode=create` changes none",
                line.sku
            );
            return Err(invalid("/sku", why));
        }
        let submission = line.patched(&present.content, rules)?;
        let shown = ProductResponse::new(&present, level);
        let faults = submission.read_only.faults(&shown);
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let on_hand = submission.stock.filter(|_| rules.stock == StockRule::Set);
        let after = StockLevel { on_hand: on_hand.unwrap_or(level.on_hand), ..level };
        if !after.is_sound() || after.under(submission.content.stock_policy).is_none() {
            let why = format!(
                "{} units are fewer than the {} that are reserved for orders",
                after.on_hand, level.reserved
            );
            return Err(invalid("/stock", why));
        }
        let ignores_stock = submission.stock.is_some() && on_hand.is_none();
        let content = submission.content;
        let update = ProductUpdate { present, level, content, on_hand };
        Ok(Self {
            change: LineChange::Update(Box::new(update)),
            assumed_currency: None,
            ignores_stock,
        })
    }

    /// Whether the rows are still those that it was decided by.
    pub(super) fn holds(&self, line: &ProductLine, rows: &impl Read) -> Result<bool, Error> {
        let id = tables::id_of_sku(rows, &line.sku)?;
        Ok(match (&self.change, id) {
            (LineChange::Create(_), None) => true,
            (LineChange::Update(update), Some(id)) => {
                let (present, level) = tables::product(rows, id)?;
                present == update.present && level == update.level
            }
            _ => false,
        })
    }

    /// The outcome that [`apply`](Self::apply) has.
    pub(super) fn outcome(&self) -> LineOutcome {
        match &self.change {
            LineChange::Create(_) => LineOutcome::Created,
            LineChange::Update(update) if update.changes_content() || update.moves_stock() => {
                LineOutcome::Updated
            }
            LineChange::Update(_) => LineOutcome::Unchanged,
        }
    }

    /// Writes it.
    pub(super) fn apply(
        self,
        tx: &mut Tx<'_>,
        effects: &Effects,
        cause: &Cause,
    ) -> Result<(), Error> {
        match self.change {
            LineChange::Create(submission) => {
                catalogue::create(tx, effects, cause, *submission)?;
            }
            LineChange::Update(update) => update.apply(tx, effects, cause)?,
        }
        Ok(())
    }
}

impl ProductUpdate {
    fn changes_content(&self) -> bool {
        self.content != self.present.content
    }

    fn moves_stock(&self) -> bool {
        self.on_hand
            .is_some_and(|on_hand| on_hand != self.level.on_hand)
    }

    fn apply(self, tx: &mut Tx<'_>, effects: &Effects, cause: &Cause) -> Result<(), Error> {
        if self.moves_stock()
            && let Some(on_hand) = self.on_hand
        {
            stock::set_level(tx, effects, cause, self.present.id, on_hand, STOCK_REASON)?;
        }
        if self.changes_content() {
            catalogue::replace(tx, effects, cause, self.present, self.content)?;
        }
        Ok(())
    }
}

fn invalid(pointer: &str, why: String) -> Error {
    Error::Invalid(vec![FieldError::new(pointer, why)])
}
