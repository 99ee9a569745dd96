//! `carbon-ops schema`: the JSON Schema of a record.

use anyhow::Result;
use carbon_ops::record;
use std::io::Write as _;

use crate::args::Schema;
use crate::context::Context;

pub(crate) fn run(_args: &Schema, context: &mut Context<'_>) -> Result<u8> {
    let schema = record::schema();
    writeln!(context.out, "{schema:#}")?;
    Ok(0)
}
