//! Cutting a byte stream into messages: the pieces in which it arrives make no difference, and
//! nothing is kept beyond what has arrived.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qarbiter::wire::frame::HEADER_LEN;
use qarbiter::wire::{Frame, FrameDecoder, Skipped};

fuzz_target!(|input: (u16, Vec<u8>, &[u8])| {
    let (limit, cuts, bytes) = input;
    let limit = u32::from(limit);

    let mut decoder = FrameDecoder::new(limit);
    let mut rest = bytes;
    let mut whole = Vec::new();
    let mut used = 0;
    while let Some(frame) = decoder.next(&mut rest) {
        let before = used;
        used = bytes.len() - rest.len();
        match &frame {
            Frame::Message { body, .. } => {
                assert_eq!(used - before, HEADER_LEN + body.len());
                assert!(used - before <= limit as usize);
            }
            Frame::Skipped(Skipped::TooLong(length)) => assert!(*length > u64::from(limit)),
            Frame::Skipped(Skipped::UnknownType(kind)) => assert!(*kind > 17),
        }
        whole.push(frame);
    }
    assert!(rest.is_empty());
    assert_eq!(decoder.is_mid_message(), used < bytes.len());

    let mut decoder = FrameDecoder::new(limit);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let length = cuts.next().map_or(1, |cut| usize::from(*cut).max(1));
        let (mut piece, tail) = rest.split_at(length.min(rest.len()));
        while let Some(frame) = decoder.next(&mut piece) {
            pieces.push(frame);
        }
        assert!(piece.is_empty());
        rest = tail;
    }
    assert_eq!(whole, pieces);
});
