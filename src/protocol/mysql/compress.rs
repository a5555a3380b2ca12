//! The compressed protocol (MySQL protocol, "Compression"): packets around the stream of ordinary
//! packets, with sequence numbers of their own. A header has three bytes of length as sent, one of
//! sequence number, and three of length before compression, zero for a payload as it is.

use flate2::{Compression, Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::capability::Capabilities;
use super::frame::MAX_PAYLOAD;
use crate::protocol::codec::{Codec, Decoded, Garbled};

const HEADER_LEN: usize = 7;

/// Shorter payloads are sent as they are (`MIN_COMPRESS_LENGTH`, `my_sys.h`).
const WORTH_COMPRESSING: usize = 50;

/// What is compressed at once. More would be better compressed, and make the client wait.
const PIECE: usize = 64 * 1024;

/// How a client compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// zlib
    Zlib,
    /// Zstandard
    Zstd,
}

impl Algorithm {
    /// What was agreed on; a server prefers zlib where both are asked for.
    pub fn of(capabilities: Capabilities) -> Option<Self> {
        if capabilities.has(Capabilities::COMPRESS) {
            Some(Self::Zlib)
        } else if capabilities.has(Capabilities::ZSTD_COMPRESSION) {
            Some(Self::Zstd)
        } else {
            None
        }
    }
}

/// One client's compressed protocol.
pub struct Compressed {
    algorithm: Algorithm,
    /// Sequence number of the next packet in either direction.
    seq: u8,
    header: [u8; HEADER_LEN],
    /// How much of the header has come.
    have: usize,
    packet: Packet,
    unpacker: Unpacker,
}

/// The packet that is being read.
#[derive(Clone, Copy, Default)]
struct Packet {
    /// Bytes of payload still to come.
    left: usize,
    /// Bytes that they still make when unpacked; meaningless for payloads as they are.
    plain_left: usize,
    packed: bool,
}

enum Unpacker {
    Zlib(Box<Decompress>),
    Zstd(Box<Decoder<'static>>),
}

impl Compressed {
    /// A client that has just logged in. `None` if the algorithm lacks memory.
    pub fn new(algorithm: Algorithm) -> Option<Self> {
        let unpacker = match algorithm {
            Algorithm::Zlib => Unpacker::Zlib(Box::new(Decompress::new(true))),
            Algorithm::Zstd => Unpacker::Zstd(Box::new(Decoder::new().ok()?)),
        };
        Some(Self {
            algorithm,
            seq: 0,
            header: [0; HEADER_LEN],
            have: 0,
            packet: Packet::default(),
            unpacker,
        })
    }

    /// Takes in as much of a header as there is; true if it is complete.
    fn read_header(&mut self, input: &[u8], decoded: &mut Decoded) -> Result<bool, Garbled> {
        let rest = input.get(decoded.consumed..).unwrap_or_default();
        let n = rest.len().min(HEADER_LEN - self.have);
        let place = self.header.get_mut(self.have..self.have + n);
        if let (Some(place), Some(bytes)) = (place, rest.get(..n)) {
            place.copy_from_slice(bytes);
        }
        self.have += n;
        decoded.consumed += n;
        if self.have < HEADER_LEN {
            return Ok(false);
        }
        self.have = 0;
        let [a, b, c, seq, d, e, f] = self.header;
        let length = |bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        let (left, plain) = (length([a, b, c, 0]), length([d, e, f, 0]));
        self.seq = seq.wrapping_add(1);
        self.packet = Packet {
            left,
            plain_left: plain,
            packed: plain > 0,
        };
        if self.packet.packed {
            self.unpacker.begin()?;
        }
        Ok(true)
    }

    /// Moves on inside the payload; false if nothing moves.
    fn read_payload(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        decoded: &mut Decoded,
    ) -> Result<bool, Garbled> {
        let rest = input.get(decoded.consumed..).unwrap_or_default();
        let input = rest
            .get(..self.packet.left.min(rest.len()))
            .unwrap_or_default();
        let output = output.get_mut(decoded.produced..).unwrap_or_default();
        let step = if self.packet.packed {
            let room = output.len().min(self.packet.plain_left);
            // Behind the last byte there may be a checksum, and nothing that makes another byte.
            let mut spare = [0];
            let output = match self.packet.plain_left {
                0 => &mut spare[..],
                _ => output.get_mut(..room).unwrap_or_default(),
            };
            let step = self.unpacker.run(input, output)?;
            self.packet.plain_left = (self.packet.plain_left)
                .checked_sub(step.produced)
                .ok_or(Garbled("more data than announced"))?;
            step
        } else {
            let n = input.len().min(output.len());
            if let (Some(to), Some(from)) = (output.get_mut(..n), input.get(..n)) {
                to.copy_from_slice(from);
            }
            Decoded {
                consumed: n,
                produced: n,
            }
        };
        self.packet.left -= step.consumed;
        decoded.consumed += step.consumed;
        decoded.produced += step.produced;
        Ok(step != Decoded::default())
    }

    fn is_between(&self) -> bool {
        self.packet.left == 0 && (!self.packet.packed || self.packet.plain_left == 0)
    }

    fn pack(&self, input: &[u8]) -> Option<Vec<u8>> {
        if input.len() < WORTH_COMPRESSING {
            return None;
        }
        let packed = match self.algorithm {
            Algorithm::Zlib => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
                std::io::Write::write_all(&mut encoder, input).ok()?;
                encoder.finish().ok()?
            }
            Algorithm::Zstd => zstd::bulk::compress(input, zstd::DEFAULT_COMPRESSION_LEVEL).ok()?,
        };
        (packed.len() < input.len()).then_some(packed)
    }
}

impl Codec for Compressed {
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Decoded, Garbled> {
        let mut decoded = Decoded::default();
        loop {
            if self.is_between() {
                self.packet = Packet::default();
                if !self.read_header(input, &mut decoded)? {
                    return Ok(decoded);
                }
            }
            if !self.read_payload(input, output, &mut decoded)? && !self.is_between() {
                if self.packet.packed && self.packet.left == 0 && decoded.produced < output.len() {
                    return Err(Garbled("less data than announced"));
                }
                return Ok(decoded);
            }
        }
    }

    fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for piece in input.chunks(PIECE.min(MAX_PAYLOAD)) {
            let packed = self.pack(piece);
            let (payload, plain) = match &packed {
                Some(packed) => (&**packed, piece.len()),
                None => (piece, 0),
            };
            // Both are far below 24 bits.
            let length = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
            let ([a, b, c, _], [d, e, f, _]) = (length(payload.len()), length(plain));
            out.extend_from_slice(&[a, b, c, self.seq, d, e, f]);
            out.extend_from_slice(payload);
            self.seq = self.seq.wrapping_add(1);
        }
    }
}

impl Unpacker {
    fn begin(&mut self) -> Result<(), Garbled> {
        match self {
            Self::Zlib(zlib) => zlib.reset(true),
            Self::Zstd(zstd) => zstd.reinit().map_err(|_| Garbled("no memory"))?,
        }
        Ok(())
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Decoded, Garbled> {
        match self {
            Self::Zlib(zlib) => {
                let (before_in, before_out) = (zlib.total_in(), zlib.total_out());
                let status = zlib.decompress(input, output, FlushDecompress::None);
                let status = status.map_err(|_| Garbled("not zlib"))?;
                let delta = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(0);
                let step = Decoded {
                    consumed: delta(zlib.total_in(), before_in),
                    produced: delta(zlib.total_out(), before_out),
                };
                if status == Status::StreamEnd && step.consumed < input.len() {
                    return Err(Garbled("data behind the end"));
                }
                Ok(step)
            }
            Self::Zstd(zstd) => {
                let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
                zstd.run(&mut from, &mut to)
                    .map_err(|_| Garbled("not zstd"))?;
                Ok(Decoded {
                    consumed: from.pos(),
                    produced: to.pos(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, any, prop_oneof, proptest};

    use super::{Algorithm, Compressed};
    use crate::protocol::codec::{Codec, Garbled};

    /// What a peer reads of these pieces, with so much room at a time.
    fn read(
        codec: &mut Compressed,
        bytes: &[u8],
        cut: usize,
        room: usize,
    ) -> Result<Vec<u8>, Garbled> {
        let (mut plain, mut output) = (Vec::new(), vec![0; room]);
        for piece in bytes.chunks(cut.max(1)) {
            let mut at = 0;
            loop {
                let decoded = codec.decode(&piece[at..], &mut output)?;
                at += decoded.consumed;
                plain.extend_from_slice(&output[..decoded.produced]);
                if decoded.produced == 0 && (at == piece.len() || decoded.consumed == 0) {
                    break;
                }
            }
            assert_eq!(at, piece.len());
        }
        Ok(plain)
    }

    #[test]
    fn sequence_numbers_go_on_from_the_other_side() {
        let mut codec = Compressed::new(Algorithm::Zlib).unwrap();
        let plain = read(&mut codec, b"\x02\0\0\x05\0\0\0ab", 99, 9).unwrap();
        assert_eq!(plain, b"ab");
        let mut out = Vec::new();
        codec.encode(b"ok", &mut out);
        assert_eq!(out, b"\x02\0\0\x06\0\0\0ok");
    }

    #[test]
    fn lies_about_lengths_are_noticed() {
        for algorithm in [Algorithm::Zlib, Algorithm::Zstd] {
            let mut honest = Vec::new();
            Compressed::new(algorithm)
                .unwrap()
                .encode(&[7; 1000], &mut honest);
            for announced in [999_u16, 1001] {
                let mut bytes = honest.clone();
                bytes[4..6].copy_from_slice(&announced.to_le_bytes());
                let mut codec = Compressed::new(algorithm).unwrap();
                assert!(read(&mut codec, &bytes, 5000, 5000).is_err(), "{announced}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_however_it_is_cut(
            texts in vec(vec(prop_oneof![Just(b'a'), any::<u8>()], 0..2000), 1..3),
            repeat in 1_usize..8,
            cut in 1_usize..5000,
            room in 1_usize..5000,
            zstd in any::<bool>(),
        ) {
            let algorithm = if zstd { Algorithm::Zstd } else { Algorithm::Zlib };
            let mut sender = Compressed::new(algorithm).unwrap();
            let (mut sent, mut plain) = (Vec::new(), Vec::new());
            for text in texts {
                let text = text.repeat(repeat);
                sender.encode(&text, &mut sent);
                plain.extend_from_slice(&text);
            }
            let mut receiver = Compressed::new(algorithm).unwrap();
            assert!(read(&mut receiver, &sent, cut, room).unwrap() == plain);
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, cut in 1_usize..20, zstd in any::<bool>()) {
            let algorithm = if zstd { Algorithm::Zstd } else { Algorithm::Zlib };
            let mut output = [0; 64];
            let mut codec = Compressed::new(algorithm).unwrap();
            for piece in bytes.chunks(cut) {
                if codec.decode(piece, &mut output).is_err() {
                    break;
                }
            }
        }
    }
}
