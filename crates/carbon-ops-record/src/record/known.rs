//! The distributions that texts mean, of the texts that this thread read lately: whoever reads many records meets most
//! of them again and again. A memo: it changes no result, only how long one takes.
//!
//! Out of scope: reading and writing them.

use std::cell::RefCell;
use std::collections::HashMap;

use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_estimate::uncertainty::text::Quantity;

/// More texts than the records of a fleet have in common; whoever writes new ones in each gains no memory.
const MAX: usize = 1024;

thread_local! {
    static KNOWN: RefCell<[HashMap<String, Distribution>; 2]> = RefCell::default();
}

/// Which of the maps has the texts of a quantity; none those of energies, which hardly occur twice.
fn map_of(quantity: Quantity) -> Option<usize> {
    match quantity {
        Quantity::Intensity => Some(0),
        Quantity::Ratio => Some(1),
        _ => None,
    }
}

/// What a text means, if it was read and is the one that is written for that.
pub(super) fn distribution(quantity: Quantity, text: &str) -> Option<Distribution> {
    let at = map_of(quantity)?;
    KNOWN.with_borrow(|known| known.get(at)?.get(text).copied())
}

/// Keeps what was read.
pub(super) fn remember(quantity: Quantity, text: &str, distribution: Distribution) {
    KNOWN.with_borrow_mut(|known| {
        let Some(map) = map_of(quantity).and_then(|at| known.get_mut(at)) else { return };
        if map.len() >= MAX {
            map.clear();
        }
        map.insert(text.to_owned(), distribution);
    });
}
