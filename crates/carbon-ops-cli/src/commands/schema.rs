//! `carbon-ops schema`: the JSON Schema of a record.

use anyhow::Result;
use carbon_ops::record;

use crate::args::Schema;

pub(crate) fn run(_args: &Schema, out: &mut impl std::io::Write) -> Result<u8> {
    let schema = record::schema();
    writeln!(out, "{schema:#}")?;
    Ok(0)
}
