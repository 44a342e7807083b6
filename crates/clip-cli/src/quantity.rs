//! Numbers with units, as flags take them: `100Gbit/s`, `5us`, `32GB`, `400M`.

use crate::exit::{Failure, Result};

/// Units of a quantity, each with its size.
pub(crate) struct Quantity {
    /// What a flag expects, with examples.
    expected: &'static str,
    /// Units that take [`DECIMAL`] prefixes.
    prefixed: &'static [(&'static str, f64)],
    /// Units as they are.
    plain: &'static [(&'static str, f64)],
}

const DECIMAL: [(&str, f64); 6] = [("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15)];

/// Bytes a second.
pub(crate) const BANDWIDTH: Quantity = Quantity {
    expected: "a bandwidth with its unit, as 100Gbit/s or 12.5GB/s",
    prefixed: &[("B/s", 1.0), ("bit/s", 0.125), ("b/s", 0.125), ("bps", 0.125)],
    plain: &[],
};
/// Seconds.
pub(crate) const DURATION: Quantity = Quantity {
    expected: "a time with its unit, as 5us or 0.2ms",
    prefixed: &[],
    plain: &[("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ns", 1e-9)],
};
/// Bytes.
pub(crate) const MEMORY: Quantity = Quantity {
    expected: "a size with its unit, as 32GB or 80GiB",
    prefixed: &[("B", 1.0)],
    plain: &[("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0)],
};
/// Operations a second.
pub(crate) const FLOPS: Quantity = Quantity {
    expected: "operations a second with their unit, as 125TFLOP/s",
    prefixed: &[("FLOP/s", 1.0), ("FLOPS", 1.0), ("FLOPs", 1.0)],
    plain: &[],
};
/// A number of things.
pub(crate) const COUNT: Quantity = Quantity {
    expected: "a number above 0, as 400M or 12000000",
    prefixed: &[],
    plain: &[("", 1.0), ("k", 1e3), ("K", 1e3), ("M", 1e6), ("B", 1e9), ("G", 1e9)],
};
/// A number above 0 without a unit.
pub(crate) const NUMBER: Quantity = Quantity { expected: "a number above 0", prefixed: &[], plain: &[("", 1.0)] };

impl Quantity {
    fn unit(&self, name: &str) -> Option<f64> {
        let plain = self.plain.iter().find(|(unit, _)| *unit == name).map(|(_, size)| *size);
        let prefixed = || {
            let of = |(unit, size): &(&str, f64)| {
                let prefix = name.strip_suffix(unit)?;
                DECIMAL.iter().find(|(known, _)| *known == prefix).map(|(_, factor)| factor * size)
            };
            self.prefixed.iter().find_map(of)
        };
        plain.or_else(prefixed)
    }

    /// Reads a value of an option.
    ///
    /// # Errors
    /// `invalid-option` for another unit, none, and a number that is not above 0.
    pub(crate) fn read(&self, option: &str, text: &str) -> Result<f64> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let value = number.parse::<f64>().ok().zip(self.unit(unit.trim())).map(|(number, unit)| number * unit);
        let wrong = || Failure::option(option, self.expected, text);
        value.filter(|value| value.is_finite() && *value > 0.0).ok_or_else(wrong)
    }

    /// As [`read`](Self::read), of a flag that may be left out.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn given(&self, option: &str, text: &Option<String>) -> Result<Option<f64>> {
        text.as_deref().map(|text| self.read(option, text)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (quantity, text, expected) in [
            (&BANDWIDTH, "100Gbit/s", 12.5e9),
            (&BANDWIDTH, "100 Gb/s", 12.5e9),
            (&BANDWIDTH, "12.5GB/s", 12.5e9),
            (&BANDWIDTH, "800Mbps", 1e8),
            (&DURATION, "5us", 5e-6),
            (&DURATION, "5µs", 5e-6),
            (&DURATION, "0.2ms", 2e-4),
            (&MEMORY, "32GB", 32e9),
            (&MEMORY, "1GiB", 1_073_741_824.0),
            (&FLOPS, "125TFLOP/s", 125e12),
            (&COUNT, "400M", 4e8),
            (&COUNT, "2.3B", 2.3e9),
            (&NUMBER, "48.2", 48.2),
        ] {
            let got = quantity.read("option", text).unwrap();
            assert!((got / expected - 1.0).abs() < 1e-12, "{text}: {got}");
        }
        for (quantity, text) in [
            (&BANDWIDTH, "100"),
            (&BANDWIDTH, "100Gbit"),
            (&BANDWIDTH, "0GB/s"),
            (&BANDWIDTH, "-1GB/s"),
            (&DURATION, "5"),
            (&DURATION, "5kg"),
            (&MEMORY, "32"),
            (&FLOPS, "125T"),
            (&COUNT, "400m"),
            (&COUNT, ""),
            (&NUMBER, "inf"),
            (&NUMBER, "1.2.3"),
        ] {
            let error = quantity.read("bandwidth", text).unwrap_err();
            assert!(error.code == "invalid-option" && error.message.contains(quantity.expected), "{text}: {error}");
        }
    }
}
