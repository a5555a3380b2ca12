//! Values with units, as they are written in the configuration file.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: `"500ms"`, `"30s"`, `"2h"`, `"1h 30m"`; at most ten years, so that clocks can
/// be added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

impl Time {
    /// Whole seconds.
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Length;
        impl Visitor<'_> for Length {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_TIME)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                humantime::parse_duration(text)
                    .ok()
                    .filter(|time| *time <= LONGEST)
                    .map(Time)
                    .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        input.deserialize_any(Length)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(&humantime::format_duration(self.0))
    }
}

/// A number of bytes: `"16KB"`, `"1MB"`, `4096`. Units are powers of 1,024, as in PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_SIZE)
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<Size, E> {
                usize::try_from(n)
                    .map(Size)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(n), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text)
                    .map(Size)
                    .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        input.deserialize_any(Bytes)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let (mut n, mut unit) = (self.0, "B");
        for larger in ["KB", "MB", "GB"] {
            if n == 0 || !n.is_multiple_of(1024) {
                break;
            }
            n /= 1024;
            unit = larger;
        }
        output.collect_str(&format_args!("{n}{unit}"))
    }
}

fn parse_size(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let scale: usize = match unit.trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(scale)
}

/// A share, from `LEAST` to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent<const LEAST: u8>(pub u8);

impl<'de, const LEAST: u8> Deserialize<'de> for Percent<LEAST> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Share<const LEAST: u8>;
        impl<const LEAST: u8> Visitor<'_> for Share<LEAST> {
            type Value = Percent<LEAST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a percentage from {LEAST} to 100")
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<Percent<LEAST>, E> {
                let share = u8::try_from(n).ok();
                share
                    .filter(|n| (LEAST..=100).contains(n))
                    .map(Percent)
                    .ok_or_else(|| E::invalid_value(Unexpected::Signed(n), &self))
            }
        }
        input.deserialize_any(Share::<LEAST>)
    }
}

impl<const LEAST: u8> Serialize for Percent<LEAST> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_u8(self.0)
    }
}

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Fraction(pub f64);

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Fraction;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0.0 to 1.0")
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<Fraction, E> {
                match n {
                    0 => Ok(Fraction(0.0)),
                    1 => Ok(Fraction(1.0)),
                    _ => Err(E::invalid_value(Unexpected::Signed(n), &self)),
                }
            }

            fn visit_f64<E: Error>(self, n: f64) -> Result<Fraction, E> {
                if (0.0..=1.0).contains(&n) {
                    return Ok(Fraction(n));
                }
                Err(E::invalid_value(Unexpected::Float(n), &self))
            }
        }
        input.deserialize_any(Number)
    }
}

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_f64(self.0)
    }
}

/// Years as humantime counts them, of 365.25 days.
const LONGEST: Duration = Duration::from_secs(10 * 31_557_600);
const A_TIME: &str =
    "a length of time with unit, at most 10 years, such as \"500ms\", \"30s\" or \"2h\"";
const A_SIZE: &str = "a size with unit, such as \"16KB\" or \"1MB\"";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, prop_assert_eq, proptest};
    use serde::{Deserialize, Serialize};

    use super::{Percent, Size, Time, parse_size};

    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    struct Values {
        time: Time,
        size: Size,
        percent: Percent<1>,
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(parse_size("16KB"), Some(16 * 1024));
        assert_eq!(parse_size("1 MB"), Some(1024 * 1024));
        assert_eq!(parse_size("7"), Some(7));
        for bad in ["", "KB", "1TB", "-1", "1.5MB", "99999999999999999999GB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_are_read() {
        let text = "time = \"1h 30m\"\nsize = 4096\npercent = 100";
        let expected = Values {
            time: Time::secs(5400),
            size: Size(4096),
            percent: Percent(100),
        };
        assert_eq!(toml::from_str::<Values>(text).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            millis in 0..315_576_000_000_u64,
            size in 0..usize::MAX / 2,
            percent in 1..=100_u8,
        ) {
            let values = Values {
                time: Time(Duration::from_millis(millis)),
                size: Size(size),
                percent: Percent(percent),
            };
            let text = toml::to_string(&values).unwrap();
            prop_assert_eq!(toml::from_str::<Values>(&text).unwrap(), values);
        }

        #[test]
        fn any_text_is_survived(text in any::<String>(), number in any::<i64>()) {
            let _ = parse_size(&text);
            let quoted = toml::Value::from(text);
            for value in [quoted, number.into()] {
                let text = format!("time = {value}\nsize = {value}\npercent = {value}");
                let _ = toml::from_str::<Values>(&text);
            }
        }
    }
}
