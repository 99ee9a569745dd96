//! The library as its users see it: by its flat names alone, on hosts and in folders of its own.

mod estimator;
mod ledger;
mod logger;
