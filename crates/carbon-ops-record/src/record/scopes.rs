//! What a figure counts as after the GHG Protocol, by who owns the machines.
//!
//! | Deployment | Operation | Hardware |
//! |---|---|---|
//! | own | scope 2, location | scope 3, category 2 (capital goods) |
//! | colocation | scope 3, category 8 (leased assets) | scope 3, category 2 |
//! | cloud | scope 3, category 1 (purchased services) | scope 3, category 1 |
//! | product | scope 3, category 11 (use of sold products) | scope 3, category 11 |
//!
//! A life-cycle intensity has the fuel's way to the plant and the losses of the grid in it: of one's own
//! machines these are scope 3, category 3, which is named as a second tag of the same figure. A direct intensity has
//! the first tag only, and what is upstream of it ([`crate::upstream`]) the second only.
//!
//! Sources: GHG Protocol Scope 2 Guidance (2015); Corporate Value Chain (Scope 3) Standard, table 5.4.
//!
//! Out of scope: the figure by the market, which needs contracts (`market`).

use std::str::FromStr;

use super::{Basis, Figure, Scope};
use carbon_ops_estimate::intensity::Factor;
use carbon_ops_estimate::words;

words! {
    /// Who owns the machines.
    #[derive(Default)]
    Deployment {
        /// Own hardware, bought power.
        #[default]
        Own = "own",
        /// Own hardware, somebody else's building and power.
        Colocation = "colocation",
        /// Somebody else's hardware.
        Cloud = "cloud",
        /// Somebody else runs what we ship.
        Product = "product",
    }
}

/// A word that names no deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown deployment {0:?}")]
pub struct UnknownDeployment(String);

impl FromStr for Deployment {
    type Err = UnknownDeployment;

    fn from_str(text: &str) -> Result<Self, UnknownDeployment> {
        let deployment = Self::of(text.trim());
        deployment.ok_or_else(|| UnknownDeployment(text.chars().take(60).collect()))
    }
}

/// The tags of a record's figures. `source` says who decided on the deployment.
pub fn scopes(deployment: Deployment, factor: Factor, embodied: bool, source: &str) -> Vec<Scope> {
    let tag = |figure, scope, basis, category| {
        let source = format!("{source}: {deployment}");
        Scope { basis, category, figure, scope, source }
    };
    let third = |figure, category| tag(figure, 3, None, Some(category));
    let mut tags = match deployment {
        Deployment::Own if factor == Factor::Upstream => vec![third(Figure::Operational, 3)],
        Deployment::Own => vec![tag(Figure::Operational, 2, Some(Basis::Location), None)],
        Deployment::Colocation => vec![third(Figure::Operational, 8)],
        Deployment::Cloud => vec![third(Figure::Operational, 1)],
        Deployment::Product => vec![third(Figure::Operational, 11)],
    };
    if deployment == Deployment::Own && factor == Factor::Lifecycle {
        tags.push(third(Figure::Operational, 3));
    }
    if embodied {
        tags.push(match deployment {
            Deployment::Own | Deployment::Colocation => third(Figure::Embodied, 2),
            Deployment::Cloud => third(Figure::Embodied, 1),
            Deployment::Product => third(Figure::Embodied, 11),
        });
    }
    tags
}
