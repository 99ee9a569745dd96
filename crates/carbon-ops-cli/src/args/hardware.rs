//! Arguments of hardware that a span of time has reserved, for `estimate` and `run`.

use carbon_ops::estimate::embodied::{Hardware, Lifetime, Portion};
use clap::Args;

use crate::hints::argument;

#[derive(Debug, Args)]
pub(crate) struct Reserve {
    /// Hardware that the span has reserved, for the carbon of making it: h100, '8*h100',
    /// 'server(cpus=2, memory=256, ssd=2)', or with a total of its own 'box=1200kg ± 30%'; may be repeated
    #[arg(long, value_name = "DEVICE[=TOTAL]", value_parser = argument::<Hardware>)]
    pub(crate) embodied: Vec<Hardware>,

    /// Over how long hardware is written off: 4y (of 8760 h), 1460d, 35040h; its usual life unless given
    #[arg(long, value_name = "TIME", requires = "embodied", value_parser = argument::<Lifetime>)]
    pub(crate) life: Option<Lifetime>,

    /// Which part of the hardware the span has: 0.5, 50%, 2/16; all of it unless given
    #[arg(long, value_name = "PART", requires = "embodied", value_parser = argument::<Portion>)]
    pub(crate) share: Option<Portion>,
}
