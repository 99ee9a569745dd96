//! How it is said: what the library [`carbon_ops`] answers, in the words of its command.
//!
//! * [`layout`]: tables, and lines within the width of a terminal.
//! * [`render`]: quantities, intervals, errors and text of others, as people read them.
//! * [`summary`]: a record; [`sums`]: sums of records.
//! * [`intensity`], [`samples`]: the slots of a zone, also as a picture; samples of a host.
//! * [`letters`]: text in ASCII, where the locale has nothing else.
//! * [`said`]: messages beside a command's output, to people or as a log.
//! * [`hints`]: the remedy for each error of the libraries, and the exit codes of answers.
//! * [`checkup`]: the way on from each state of a ledger.
//! * [`progress`]: how far a long piece of work has come.
//! * [`settings`]: what each setting is for.
//! * [`voice`]: what others say of an error, as we would.
//!
//! Out of scope: arguments and verbs, which are the command's; reports, which are pages of their own.

pub mod checkup;
pub mod hints;
pub mod intensity;
pub mod layout;
pub mod letters;
pub mod progress;
pub mod render;
pub mod said;
pub mod samples;
pub mod settings;
pub mod summary;
pub mod sums;
pub mod voice;
