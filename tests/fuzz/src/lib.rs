//! What the fuzz targets share: cutting streams into pieces, and driving exchanges.

use bytes::BytesMut;
use sluice::model::TlsFacts;
use sluice::protocol::{Exchange, Step};

/// Input of a target that reads a stream: four bytes of choices, then the stream.
///
/// The first is for the target; the others say where the stream is cut, in 255ths of its length.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    pub choice: u8,
    places: [u8; 3],
    pub stream: &'a [u8],
}

impl<'a> Cut<'a> {
    /// `None` if there are no choices.
    pub fn new(data: &'a [u8]) -> Option<Self> {
        let (head, stream) = data.split_first_chunk::<4>()?;
        let [choice, places @ ..] = *head;
        Some(Self {
            choice,
            places,
            stream,
        })
    }

    /// The same choices for another stream.
    pub fn with(self, stream: &'a [u8]) -> Self {
        Self { stream, ..self }
    }

    /// The stream in one piece, and in four.
    pub fn both(self) -> [Vec<&'a [u8]>; 2] {
        let mut ends = self
            .places
            .map(|place| usize::from(place) * self.stream.len() / 255);
        ends.sort_unstable();
        let mut start = 0;
        let mut pieces: Vec<_> = ends
            .into_iter()
            .map(|end| {
                let piece = &self.stream[start..end];
                start = end;
                piece
            })
            .collect();
        pieces.push(&self.stream[start..]);
        [vec![self.stream], pieces]
    }
}

/// What came of an exchange.
#[derive(Debug)]
pub struct Ending<D, E> {
    pub end: Option<Result<D, E>>,
    pub written: Vec<u8>,
    /// What it left of the input.
    pub left: usize,
    pub tls: bool,
}

/// What bytes are that have come in one piece with the request for TLS, where an exchange leaves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// They would pass for bytes inside TLS: no exchange may leave any.
    Smuggled,
    /// The beginning of the client's TLS handshake, for which nobody has to be waited (MySQL).
    Handshake,
}

/// Feeds an exchange with pieces until it ends. TLS is pretended: what follows was inside it.
pub fn drive<X: Exchange>(exchange: X, pieces: &[&[u8]]) -> Ending<X::Done, X::Error> {
    drive_where(exchange, pieces, Early::Smuggled)
}

/// The same, where bytes that come early are that.
pub fn drive_where<X: Exchange>(
    mut exchange: X,
    pieces: &[&[u8]],
    early: Early,
) -> Ending<X::Done, X::Error> {
    let mut input = BytesMut::new();
    let mut ending = Ending {
        end: None,
        written: Vec::new(),
        left: 0,
        tls: false,
    };
    // Client roles speak first.
    for piece in [&b""[..]].iter().chain(pieces) {
        input.extend_from_slice(piece);
        while ending.end.is_none() {
            let mut out = BytesMut::new();
            let before = input.len();
            let step = exchange.advance(&mut input, &mut out);
            assert!(input.len() <= before);
            ending.written.extend_from_slice(&out);
            match step {
                Ok(Step::Read) => break,
                Ok(Step::UpgradeTls) => {
                    assert!(
                        input.is_empty() || early == Early::Handshake,
                        "bytes before TLS would pass for bytes inside"
                    );
                    input.clear();
                    ending.tls = true;
                    exchange.secured(&TlsFacts::default());
                }
                Ok(Step::Compute(work)) => exchange.computed(work.run()),
                Ok(Step::Done(done)) => ending.end = Some(Ok(done)),
                Err(error) => ending.end = Some(Err(error)),
            }
        }
    }
    ending.left = input.len();
    ending
}

/// Packets of MySQL's protocol made of `stream`: a byte of length, then the payload. Sequence
/// numbers count from `seq` by twos, as one side's of a dialogue do.
pub fn packets(mut stream: &[u8], mut seq: u8) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((len, rest)) = stream.split_first() {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        let len = u8::try_from(payload.len()).expect("a length of one byte");
        out.extend_from_slice(&[len, 0, 0, seq]);
        out.extend_from_slice(payload);
        seq = seq.wrapping_add(2);
        stream = rest;
    }
    out
}
