//! A secret that stands in the file itself.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Secret;

/// Reads any string; shows a word instead of it, in `Debug` and when the file is printed.
#[derive(Clone)]
pub struct Inline(pub Secret);

impl<'de> Deserialize<'de> for Inline {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Ok(Self(Secret::new(text)))
    }
}

impl Serialize for Inline {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(REDACTED)
    }
}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

const REDACTED: &str = "redacted";
