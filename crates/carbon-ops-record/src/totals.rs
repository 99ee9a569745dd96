//! Sums over records: [`Partial`](carbon_ops_estimate::aggregate::Partial) of their grams and of their embodied carbon, with energy,
//! coverage, quality and time besides.
//!
//! The effect of an input is `grams · cv`. What the products of all shared inputs add to a record's variance is an effect
//! with all of their keys; what those with other inputs add counts as independent. So the u of a single record is that
//! of the record itself. The interval of
//! several records is that of the partial, by its moments; of a single one it is the record's own. Which it
//! is, each figure says. [`Joint`] has the intervals by trials over all records together.
//!
//! Energy that one record prices directly and another upstream (`estimate --upstream`) is counted once.
//! Which records a sum counts, of copies and of measurements inside of others, `set` says; which records are
//! added at all, [`Adder`].
//!
//! Out of scope: reading records; whether two records were charged for one piece of hardware at one time.

mod addend;
mod choice;
mod figure;
mod group;
mod group_by;
mod hosted;
mod joint;
mod market;
mod set;
mod sums;

pub use addend::Addend;
pub use carbon_ops_estimate::market::Instruments;
pub use choice::{Choice, Common, Place};
pub use figure::{Figure, How, Shared};
pub use group::{Group, GroupTheta, Totals};
pub use group_by::GroupBy;
pub use hosted::Accounts;
pub use joint::Joint;
pub use market::{ByMarket, Load, MarketFigure, Used};
pub use set::{Amount, LeftOut};
pub use sums::{Adder, Sums};

#[cfg(test)]
mod tests;
