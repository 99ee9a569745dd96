//! A simulated energy register: it counts ticks, wraps, and is printed in µJ as the kernel does it.
//!
//! The kernel's arithmetic is written down here a second time, apart from the meter's
//! [`carbon_ops_meter::counter`], so that the one is a check of the other.
//!
//! Out of scope: power curves, and any reading of a real register.

use carbon_ops_units::Microjoules;

/// `max_energy_range_uj` of an AMD package: 2³²−1 ticks of 15.258 µJ (2⁻¹⁶ J).
pub(crate) const AMD_PACKAGE: Microjoules = Microjoules::new(65_532_610_987);

/// The same of most Intel packages: 2³²−1 ticks of 61.035 µJ (2⁻¹⁴ J).
const INTEL_PACKAGE: Microjoules = Microjoules::new(262_143_328_850);

/// The same of the memory of some Intel servers: 2³²−1 ticks of 15.3 µJ, which are 2⁻¹⁶ J.
const INTEL_DRAM: Microjoules = Microjoules::new(65_712_999_613);

/// No register of hardware, but what software makes of one when it keeps µJ in 32 bits.
pub(crate) const MICROJOULES_IN_32_BITS: Microjoules = Microjoules::new(u32::MAX as u64);

/// A shorter range wraps while a register takes its own step at the power of a server.
const RANGE_MIN: Microjoules = Microjoules::new(1_000_000);

/// What a register counts and how it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register {
    /// What the kernel prints as `max_energy_range_uj`.
    pub(crate) range: Microjoules,
    /// What it is.
    pub(crate) what: &'static str,
    /// True worth of a tick in 2⁻¹⁶ µJ; printed worth of a tick in nJ; ticks until it starts anew.
    true_unit: u64,
    printed_nanojoules: u64,
    modulus: u64,
}

impl Register {
    /// The register that a published range belongs to. Another range than those of hardware counts
    /// whole µJ.
    pub(crate) fn of_range(range: Microjoules) -> Self {
        // 10⁶ µJ · 2¹⁶ / 2^ESU: exact for ESU 14 and 16.
        let (esu_14, esu_16) = (4_000_000, 1_000_000);
        let known = |what, true_unit, printed_nanojoules| Self {
            range,
            what,
            true_unit,
            printed_nanojoules,
            modulus: 1 << 32,
        };
        match range {
            AMD_PACKAGE => known("an AMD package", esu_16, 15_258),
            INTEL_PACKAGE => known("an Intel package", esu_14, 61_035),
            INTEL_DRAM => known("memory of an Intel server", esu_16, 15_300),
            other => Self {
                range,
                what: if other == MICROJOULES_IN_32_BITS {
                    "µJ kept in 32 bits: a mistake of software"
                } else {
                    "of no hardware that we know"
                },
                true_unit: 1 << 16,
                printed_nanojoules: 1000,
                modulus: other.as_microjoules().saturating_add(1),
            },
        }
    }

    /// Ticks since the start, wraps included.
    fn ticks(&self, joules: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "whole ticks of a bounded demonstration, rounded down as hardware does"
        )]
        let ticks = (joules * 1e6 * 65_536.0 / self.true_unit as f64) as u64;
        ticks
    }

    /// What `energy_uj` shows after so much energy.
    pub(crate) fn shows(&self, joules: f64) -> u64 {
        let count = u128::from(self.ticks(joules) % self.modulus.max(1));
        u64::try_from(count * u128::from(self.printed_nanojoules) / 1000).unwrap_or(u64::MAX)
    }

    /// How often it has started anew by then.
    pub(crate) fn wraps(&self, joules: f64) -> u64 {
        self.ticks(joules) / self.modulus.max(1)
    }
}

/// `65.5kJ`, `4295 J`, `65532610987` (µJ). A rounded value that a range of hardware rounds to means
/// that range.
pub(crate) fn parse_range(text: &str) -> Result<Microjoules, String> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit.trim() {
        "" | "uJ" | "µJ" | "μJ" => 1.0,
        "mJ" => 1e3,
        "J" => 1e6,
        "kJ" => 1e9,
        "MJ" => 1e12,
        other => return Err(format!("{other:?} is no unit of energy; use J, kJ, MJ or µJ")),
    };
    let value: f64 = number.parse().map_err(|_| format!("{text:?} is no energy"))?;
    let digits = number.split_once('.').map_or(0, |(_, after)| after.len());
    for known in [AMD_PACKAGE, INTEL_PACKAGE, INTEL_DRAM, MICROJOULES_IN_32_BITS] {
        let rounded = format!("{:.digits$}", known.as_joules() * 1e6 / scale);
        if scale > 1.0 && rounded == number {
            return Ok(known);
        }
    }
    let range = Microjoules::from_joules(value * scale / 1e6).map_err(|error| error.to_string())?;
    if range < RANGE_MIN {
        return Err(format!("a range of {text} is shorter than 1 J (a number alone is in µJ)"));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `⌊(2³²−1) · unit⌋`, worked out by hand for each unit.
    #[test]
    fn registers_end_at_the_range_that_the_kernel_prints() {
        for (range, full) in
            [(AMD_PACKAGE, 65_536.0), (INTEL_PACKAGE, 262_144.0), (INTEL_DRAM, 65_536.0)]
        {
            let register = Register::of_range(range);
            let tick = full / 4_294_967_296.0;
            assert_eq!(register.shows(full - tick / 2.0), range.as_microjoules());
            assert_eq!((register.shows(full), register.wraps(full)), (0, 1));
        }
        let register = Register::of_range(MICROJOULES_IN_32_BITS);
        assert_eq!(
            (register.shows(4_294.967_295), register.shows(4_294.967_296_1)),
            (u32::MAX.into(), 0)
        );
    }

    #[test]
    fn a_rounded_range_means_the_one_of_hardware() {
        for (text, range) in [
            ("65.5kJ", AMD_PACKAGE.as_microjoules()),
            ("65.7 kJ", INTEL_DRAM.as_microjoules()),
            ("262kJ", INTEL_PACKAGE.as_microjoules()),
            ("4295J", u32::MAX.into()),
            ("65532610987", AMD_PACKAGE.as_microjoules()),
            ("5000000µJ", 5_000_000),
            ("12.25J", 12_250_000),
        ] {
            assert_eq!(parse_range(text).map(Microjoules::as_microjoules), Ok(range), "{text}");
        }
        for text in ["", "kJ", "12 furlongs", "1.2.3kJ", "999999", "0", "-5J", "99999999MJ"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }
}
