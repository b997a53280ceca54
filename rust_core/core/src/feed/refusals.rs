//! What a feed refuses to be set up with, and the sizes it can be given later.

use crate::deriv::factor;
use crate::instrument::Scale;
use crate::shape::{ShapeInfo, SnapshotMode};
use crate::wire::InstrumentDef;

/// Why an instrument could not be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddError {
    /// The native symbol is in use.
    SymbolTaken(String),
    /// The wire id is in use, or 0.
    IdTaken(u32),
}

impl std::fmt::Display for AddError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SymbolTaken(symbol) => write!(f, "native symbol {symbol:?} was added before"),
            Self::IdTaken(id) => write!(f, "instrument id {id} is 0 or was added before"),
        }
    }
}

impl std::error::Error for AddError {}

/// A shape that decodes, but whose books need state that this feed does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Name of the shape.
    pub shape: String,
    /// The field of its declaration.
    pub field: &'static str,
}

impl Unsupported {
    pub(super) fn check(shape: &ShapeInfo) -> Result<(), Self> {
        let fields = [
            ("snapshot: first_after_bind", shape.snapshot == SnapshotMode::FirstAfterBind),
            ("level: id", shape.level_ids),
            ("level: sequence", shape.level_sequence),
        ];
        match fields.into_iter().find(|&(_, declared)| declared) {
            Some((field, _)) => Err(Self { shape: shape.name.clone(), field }),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shape {:?}: {} can be decoded, but not yet published", self.shape, self.field)
    }
}

impl std::error::Error for Unsupported {}

/// Tick, lot and least quantity as a venue's list says them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Exponents of the three.
    pub scale: Scale,
    /// Price step; 0 = none.
    pub tick_size: i64,
    /// Quantity step.
    pub lot_size: i64,
    /// Least quantity of an order.
    pub min_qty: i64,
}

impl Sizes {
    /// The definition with these sizes at its own exponents, which are at least as fine.
    pub(super) fn applied_to(&self, def: &InstrumentDef) -> Option<InstrumentDef> {
        let price_factor = factor(self.scale.price_exp, def.price_exp)?;
        let qty_factor = factor(self.scale.qty_exp, def.qty_exp)?;
        Some(InstrumentDef {
            tick_size: self.tick_size.checked_mul(price_factor)?,
            lot_size: self.lot_size.checked_mul(qty_factor)?,
            min_qty: self.min_qty.checked_mul(qty_factor)?,
            ..*def
        })
    }
}
