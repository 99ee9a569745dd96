//! Energy to carbon, with its uncertainty: pure arithmetic.
//!
//! * [`uncertainty`]: distributions, the measurement model, closed form and Monte Carlo, budgets.
//! * [`intensity`]: what a kilowatt hour emits as a value: what it counts, when it holds, how it came to be.
//! * [`span`]: energy of a time, priced by overlap with slots of intensity.
//! * [`embodied`]: carbon of hardware; [`sci`]: ISO/IEC 21031; [`taxonomy`], [`label`]: what a figure is made of,
//!   and what it is like.
//! * [`aggregate`]: totals in which shared errors stay shared; [`anomaly`]: values that stand out.
//! * [`decimal`]: doubles of nine digits, and their canonical text.
//!
//! Out of scope: files, sockets, clocks and randomness; places and zones; what is written into a record.

pub mod aggregate;
pub mod anomaly;
pub mod decimal;
pub mod embodied;
pub mod intensity;
pub mod label;
pub mod sci;
pub mod span;
pub mod tables;
pub mod taxonomy;
pub mod uncertainty;
