//! A machine's power, whose it is and what it emits, as a live view at a terminal.
//!
//! * [`model`]: what is known and what is asked for, as plain data; samples and keys change it.
//! * [`view`]: a frame of a model. Rule: a frame is a function of the model and the size, so that tests draw it
//!   without a terminal.
//! * [`keys`]: what a key or the mouse means.
//! * [`screen`]: the terminal, which is given back as it was, whatever ends the program.
//!
//! Out of scope: samples, which are the library's ([`carbon_ops::watch`]); when to take one, and signals, which are
//! the command's.

pub mod glyphs;
pub mod history;
pub mod keys;
pub mod model;
pub mod screen;
pub mod view;
