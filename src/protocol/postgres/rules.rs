//! From the classification of SQL text to what it means for multiplexing.

use crate::model::{PinReason, Pins};

/// What executing a text does to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Effects {
    /// Reasons to keep the server connection.
    pub pins: Pins,
}

impl Effects {
    /// Of a text that cannot be read.
    pub fn unknown() -> Self {
        let mut pins = Pins::NONE;
        pins.insert(PinReason::Unclassified);
        Self { pins }
    }
}

/// What executing `text` does.
pub fn effects(_text: &[u8]) -> Effects {
    Effects::default()
}

/// The text with its literals removed, for logs.
pub fn fingerprint(_text: &[u8]) -> String {
    String::new()
}
