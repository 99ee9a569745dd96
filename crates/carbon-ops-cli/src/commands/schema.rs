//! `carbon-ops schema`: the JSON Schema of a record.

use anyhow::Result;
use carbon_ops::record;

use crate::args::Schema;

pub(crate) fn run(args: &Schema, out: &mut impl std::io::Write) -> Result<u8> {
    let schema = if args.version == 1 { record::schema() } else { record::v2::schema() };
    writeln!(out, "{schema:#}")?;
    Ok(0)
}
