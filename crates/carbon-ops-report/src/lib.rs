//! What records of a ledger come to: as figures, and as a page that proves itself in its reader's browser.
//!
//! * [`Question`]: what is asked; [`figures`]: what records come to, by the sums of
//!   [`carbon_ops_record::totals`].
//! * [`judge()`]: audit packs judged, and the figures derived from the records in them; [`body()`]: what of that is
//!   shown. The two are what the page's WebAssembly is made of: who reads a page makes it again from the lines that
//!   were signed, and compares.
//! * [`forms`]: the figures in the forms of others.
//! * [`page`]: the file around it, with the packs, the question and the judge.
//!
//! Out of scope: files and ledgers on a disk; trust, which is the reader's; telling people what to do.

mod body;
mod chart;
pub mod figures;
#[cfg(not(target_family = "wasm"))]
pub mod forms;
mod html;
pub mod judge;
#[cfg(not(target_family = "wasm"))]
pub mod page;
mod question;

pub use body::body;
#[cfg(not(target_family = "wasm"))]
pub use body::{Beside, stated};
pub use judge::{Colour, Finding, Verdict, judge};
pub use question::{NoQuestion, Question};
