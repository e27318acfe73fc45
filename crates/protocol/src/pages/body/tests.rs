//! The bytes of bodies: golden example 9, round trips in pieces, and bodies that break a rule.

use ferry_types::{PageCount, PageNo, PageSize, Root, UnixMillis};
use proptest::prelude::*;

use super::*;

/// Golden example 9.
const GOLDEN: &str = "46525950010009003f2b9c1e5d444a7b8e110a6c7d90215329000000000000002a000000000000000200000002000000\
    07be0dda92683680006c50c4a0010000\
    030104000104001828b52ffd00007d000008ff0300f80182820e501710d21504\
    000100000047059a7efff88c8b3d8fdd42c7084a98d5a427ce255ecc668f160349ccc088fe";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn golden() -> Vec<u8> {
    bytes_of(GOLDEN)
}

fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

fn run(first: u32, length: u32) -> Run {
    Run { first: page(first), length }
}

/// All items, the body coming in pieces of `piece` bytes.
fn decode(body: &[u8], piece: usize) -> Result<Vec<Item>, BodyError> {
    let (mut decoder, mut items) = (BodyDecoder::new(), Vec::new());
    for piece in body.chunks(piece) {
        decoder.push(piece);
        while let Some((_, item)) = decoder.next_item()? {
            items.push(item);
        }
    }
    decoder.close();
    while let Some((_, item)) = decoder.next_item()? {
        items.push(item);
    }
    Ok(items)
}

fn header() -> BodyHeader {
    BodyHeader {
        flags: Flags::default(),
        page_size: PageSize::new(512),
        database: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
        base_version: 41,
        version: 42,
        base_count: PageCount(2),
        page_count: PageCount(2),
        base_root: [0x07, 0xbe, 0x0d, 0xda, 0x92, 0x68, 0x36, 0x80],
        time: UnixMillis(0x01a0_c450_6c00),
        volatile: None,
    }
}

/// The fault of a body that begins as `header` says and goes on with `entries`.
fn fault(header: &BodyHeader, entries: &[u8]) -> (u64, BodyViolation) {
    let body = [header.encode(), entries.to_vec()].concat();
    let error = decode(&body, usize::MAX).unwrap_err();
    assert_eq!(decode(&body, 1).unwrap_err(), error, "byte by byte");
    (error.offset, error.fault)
}

/// Verifies: PAG-21
#[test]
fn golden_9_in_pieces_of_every_length() {
    let body = golden();
    assert_eq!(body.len(), 133);
    let whole = decode(&body, body.len()).unwrap();
    for piece in 1..body.len() {
        assert_eq!(decode(&body, piece).unwrap(), whole, "pieces of {piece}");
    }
    let [Item::Header(found), Item::Data { targets, prefix, frame }, Item::End { targets: 1, root }] =
        &whole[..]
    else {
        panic!("{whole:?}");
    };
    assert_eq!(*found, header());
    assert_eq!((&targets[..], &prefix[..]), (&[run(2, 1)][..], &[run(2, 1)][..]));
    let again = [header().encode(), data_entry(targets, prefix, frame), end_entry(1, root)].concat();
    assert_eq!(again, body);
}

/// The push in PROTOCOL.md.
#[test]
fn golden_push() {
    let body = bytes_of(
        "46525950010809003f2b9c1e5d444a7b8e110a6c7d90215329000000000000000000000000000000\
         020000000200000007be0dda926836800000000000000000\
         01010000000300000003002e7a70\
         030104000104001828b52ffd00007d000008ff0300f80182820e501710d21504\
         000100000047059a7efff88c8b3d8fdd42c7084a98d5a427ce255ecc668f160349ccc088fe",
    );
    assert_eq!(body.len(), 147);
    let [Item::Header(found), Item::Data { .. }, Item::End { targets: 1, .. }] =
        &decode(&body, 9).unwrap()[..]
    else {
        panic!("another body");
    };
    let push = BodyHeader {
        flags: Flags { push: true, ..Flags::default() },
        version: 0,
        time: UnixMillis(0),
        volatile: Some([1, 1, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0x2e, 0x7a, 0x70]),
        ..header()
    };
    assert_eq!(*found, push);
    assert_eq!(push.encode(), body[..HEADER_BYTES + VOLATILE_BYTES]);
}

#[test]
fn golden_copy_content() {
    let runs = [
        CopyRun { target: page(5), source: page(20), length: 1 },
        CopyRun { target: page(10), source: page(7), length: 3 },
    ];
    let content = encode_copy(&runs);
    assert_eq!(content, bytes_of("020a002808021b"));
    assert_eq!(decode_copy(&content).unwrap(), runs);
}

#[test]
fn a_body_cut_anywhere_is_refused() {
    let body = golden();
    for length in 0..body.len() {
        let error = decode(&body[..length], 50).unwrap_err();
        assert_eq!(error, BodyError { offset: length as u64, fault: BodyViolation::Ended });
    }
    let more = [&body[..], &[0]].concat();
    assert_eq!(decode(&more, 7).unwrap_err(), BodyError { offset: 133, fault: BodyViolation::Trailing });
}

#[test]
fn headers_that_break_a_rule() {
    let good = header().encode();
    for (at, byte, fault) in [
        (0, b'f', BodyViolation::Magic),
        (4, 2, BodyViolation::Format(2)),
        (5, 16, BodyViolation::Header("set of flags")),
        (6, 8, BodyViolation::Header("page size")),
        (6, 0, BodyViolation::Header("page size")),
        (7, 1, BodyViolation::Header("byte that is zero")),
        (5, 1, BodyViolation::Header("base: a full body has none")),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(decode(&bad, 64).unwrap_err().fault, fault, "byte {at} = {byte}");
    }
    let push = BodyHeader { flags: Flags { push: true, ..Flags::default() }, ..header() };
    let bytes = [push.encode(), vec![0; VOLATILE_BYTES]].concat();
    assert!(
        matches!(decode(&bytes, 64).unwrap_err().fault, BodyViolation::Header(_)),
        "a push with a version"
    );
}

#[test]
fn entries_that_break_a_rule() {
    let (plain, full) = (
        header(),
        BodyHeader {
            flags: Flags { full: true, ..Flags::default() },
            base_version: 0,
            base_count: PageCount(0),
            base_root: [0; 8],
            ..header()
        },
    );
    assert_eq!(fault(&plain, &[5]), (64, BodyViolation::Opcode(5)));
    assert_eq!(fault(&plain, &staged_entry(&[run(1, 1)], &[])), (64, BodyViolation::Opcode(4)));
    assert_eq!(fault(&full, &copy_entry(&[])), (64, BodyViolation::Opcode(1)));
    assert_eq!(fault(&full, &data_entry(&[run(1, 1)], &[run(2, 1)], &[])), (68, BodyViolation::Base(2)));
    assert_eq!(fault(&plain, &zero_entry(&[])), (65, BodyViolation::NoPages));
    assert_eq!(fault(&plain, &[2, 1, 0, 0]), (66, BodyViolation::Page(0)));
    assert_eq!(fault(&plain, &[2, 1, 1, 0]), (66, BodyViolation::Page(-1)));
    assert_eq!(fault(&plain, &[2, 0x81, 0]), (65, BodyViolation::Varint));
    assert_eq!(fault(&plain, &data_entry(&[run(1, 8193)], &[], &[])), (66, BodyViolation::TooMany("pages")));
    assert_eq!(
        fault(&plain, &data_entry(&[run(1, 1)], &[run(1, 8193)], &[])),
        (69, BodyViolation::TooMany("pages"))
    );
    let mut runs = vec![2];
    varint::put(&mut runs, u64::from(RUNS_MAX) + 1);
    assert_eq!(fault(&plain, &runs), (65, BodyViolation::TooMany("runs")));
    let mut long = data_entry(&[run(1, 1)], &[], &[]);
    long.pop();
    varint::put(&mut long, 100_000);
    assert_eq!(fault(&plain, &long), (69, BodyViolation::FrameLength(100_000)));
}

#[test]
fn copy_content_that_breaks_a_rule() {
    assert_eq!(decode_copy(&[1, 2]), Err(BodyViolation::Frame("of COPY ends within a run")));
    assert_eq!(decode_copy(&[0, 0]), Err(BodyViolation::Frame("of COPY goes on after its runs")));
    assert_eq!(decode_copy(&[1, 2, 0, 0]), Err(BodyViolation::Page(0)));
    assert!(matches!(decode_copy(&[1, 2, 0xff, 0xff, 0xff, 0xff, 0x1f, 2]), Err(BodyViolation::Page(_))));
}

fn lists() -> impl Strategy<Value = Vec<Run>> {
    let run = (1..=u32::MAX - 5000, 1..5000_u32).prop_map(|(first, length)| run(first, length));
    prop::collection::vec(run, 1..20)
}

proptest! {
    #[test]
    fn entries_survive_their_bytes(
        targets in lists(), frame in prop::collection::vec(any::<u8>(), 0..400), piece in 1..100_usize, count: u32, root: [u8; 32]
    ) {
        let small = vec![run(targets[0].first.get(), 1)];
        let body = [
            header().encode(),
            zero_entry(&targets),
            copy_entry(&frame),
            data_entry(&small, &small, &frame),
            end_entry(count, &Root(root)),
        ].concat();
        let expected = vec![
            Item::Header(header()),
            Item::Zero { targets: targets.clone() },
            Item::Copy { frame: frame.clone() },
            Item::Data { targets: small.clone(), prefix: small, frame },
            Item::End { targets: count, root: Root(root) },
        ];
        prop_assert_eq!(decode(&body, piece).unwrap(), expected);
        let copies: Vec<CopyRun> = targets.windows(2).map(|pair| CopyRun {
            target: pair[0].first, source: pair[1].first, length: pair[0].length.min(pair[1].length),
        }).collect();
        prop_assert_eq!(decode_copy(&encode_copy(&copies)).unwrap(), copies);
        prop_assert_eq!(runs_of(pages_of(&targets)).iter().map(|run| run.length).sum::<u32>(), targets.iter().map(|run| run.length).sum::<u32>());
    }

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((0..133_usize, any::<u8>()), 1..6), piece in 1..140_usize) {
        let mut body = golden();
        for (at, byte) in changes {
            body[at] = byte;
        }
        let whole = decode(&body, usize::MAX);
        prop_assert_eq!(decode(&body, piece), whole, "in pieces");
    }

    #[test]
    fn random_entries_never_panic(entries in prop::collection::vec(any::<u8>(), 0..200), content in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&[header().encode(), entries].concat(), 13);
        let _ = decode_copy(&content);
    }
}
