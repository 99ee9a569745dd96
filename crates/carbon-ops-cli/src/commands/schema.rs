//! `carbon-ops schema`: the JSON Schema of a record.

use anyhow::Result;
use carbon_ops_estimate::record;

pub(crate) fn run(out: &mut impl std::io::Write) -> Result<u8> {
    writeln!(out, "{:#}", record::schema())?;
    Ok(0)
}
