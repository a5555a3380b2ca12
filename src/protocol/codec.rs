//! A layer between a client's socket and its protocol, agreed on at login: compression.

/// Decodes what the client sends and encodes what it is sent. Keeps no more than the state of its
/// algorithm: what is decoded goes into buffers of the caller's.
pub trait Codec: Send + Sync {
    /// Decodes some of `input` into `output`; both may be used up in part.
    ///
    /// # Errors
    /// If the client breaks the layer's rules.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Decoded, Garbled>;

    /// Encodes all of `input`, appending to `out`.
    fn encode(&mut self, input: &[u8], out: &mut Vec<u8>);
}

/// How far a call of [`Codec::decode`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Decoded {
    /// Bytes of the input that are dealt with.
    pub consumed: usize,
    /// Bytes of the output that are filled.
    pub produced: usize,
}

/// What the client has sent cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compressed data is garbled: {0}")]
pub struct Garbled(pub &'static str);
