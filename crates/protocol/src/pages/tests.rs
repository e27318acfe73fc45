//! Golden frames of section 2.7, liberal decoding, and properties over arbitrary input.

use proptest::prelude::*;

use super::*;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn golden(hex: &str, frame: &Frame<'_>) {
    let bytes = unhex(hex);
    assert_eq!(frame.encode(), bytes, "encoding {}", frame.kind());
    assert_eq!(&Frame::decode(&bytes).unwrap(), frame, "decoding {}", frame.kind());
}

#[test]
fn golden_1_hello() {
    golden(
        "0182a46b696e64a568656c6c6fa46461746183b070726f746f636f6c5f76657273696f6e01a9706167655f73697a65cd1000a8\
         6d61785f7061676503",
        &Frame::Hello(Hello { protocol_version: 1, page_size: 4096, max_page: 3 }),
    );
}

#[test]
fn golden_2_page_hash() {
    golden(
        &("0182a46b696e64a9706167655f68617368a46461746182a7706167655f6e6f02a468617368c420".to_owned()
            + &"ab".repeat(32)),
        &Frame::PageHash(PageHash { page_no: 2, hash: &[0xab; 32] }),
    );
}

#[test]
fn golden_3_request_page() {
    golden(
        "0182a46b696e64ac726571756573745f70616765a46461746181a7706167655f6e6f02",
        &Frame::RequestPage(PageNumber { page_no: 2 }),
    );
}

#[test]
fn golden_4_page_data() {
    golden(
        &("0182a46b696e64a9706167655f64617461a46461746182a7706167655f6e6f02a464617461c51000".to_owned()
            + &"ab".repeat(4096)),
        &Frame::PageData(PageData { page_no: 2, data: &[0xab; 4096] }),
    );
}

#[test]
fn golden_5_complete() {
    golden("0181a46b696e64a8636f6d706c657465", &Frame::Complete);
}

#[test]
fn golden_6_sync_complete() {
    golden(
        "0182a46b696e64ad73796e635f636f6d706c657465a46461746182b170616765735f7472616e7366657272656402b162797465\
         735f7472616e73666572726564cd2000",
        &Frame::SyncComplete(SyncComplete { pages_transferred: 2, bytes_transferred: 8192 }),
    );
}

#[test]
fn golden_7_error() {
    golden(
        "0182a46b696e64a56572726f72a46461746181a76d657373616765a4626f6f6d",
        &Frame::Error("boom".to_owned()),
    );
}

#[test]
fn any_key_order_and_unknown_fields_are_accepted() {
    // {"more": [1, {"x": nil}], "data": {"extra": bin, "hash": bin, "page_no": u64 7}, "kind": "page_hash"}
    let mut bytes = unhex("0183a46d6f72659201 81a178c0".replace(' ', "").as_str());
    bytes.extend(unhex("a46461746183a56578747261c40100a468617368c403010203a7706167655f6e6f"));
    bytes.extend(unhex("cf0000000000000007a46b696e64a9706167655f68617368"));
    let frame = Frame::decode(&bytes).unwrap();
    assert_eq!(frame, Frame::PageHash(PageHash { page_no: 7, hash: &[1, 2, 3] }));
    let Frame::PageHash(page) = frame else { unreachable!() };
    assert!(bytes.as_ptr_range().contains(&page.hash.as_ptr()), "page bytes are borrowed, not copied");
}

#[test]
fn each_malformed_frame_has_its_own_error() {
    assert_eq!(Frame::decode(&[]), Err(DecodeError::Empty));
    assert_eq!(Frame::decode(&[2, 0x80]), Err(DecodeError::Version(2)));
    let unknown = unhex("0181a46b696e64a568756c6c6f");
    assert_eq!(Frame::decode(&unknown), Err(DecodeError::UnknownKind("hullo".to_owned())));
    let mut trailing = Frame::Complete.encode();
    trailing.push(0xc0);
    let without_data = unhex("0181a46b696e64a568656c6c6f");
    let huge_page_no =
        unhex("0182a46b696e64ac726571756573745f70616765a46461746181a7706167655f6e6fcf0000000100000000");
    let mut nested = unhex("0182a46d6f7265");
    nested.extend([0x91; 5000]);
    for bad in [&trailing, &without_data, &huge_page_no, &nested, &vec![1], &vec![1, 0xc0]] {
        assert!(matches!(Frame::decode(bad), Err(DecodeError::Malformed(_))), "{bad:02x?}");
    }
}

/// What a frame is made of, owned.
#[derive(Clone, Debug)]
struct Parts {
    kind: usize,
    numbers: [u32; 3],
    bytes: u64,
    blob: Vec<u8>,
    list: Vec<u32>,
    text: String,
}

fn parts() -> impl Strategy<Value = Parts> {
    let lists = (prop::collection::vec(any::<u8>(), 0..300), prop::collection::vec(any::<u32>(), 0..20));
    (0..13_usize, any::<[u32; 3]>(), any::<u64>(), lists, any::<String>()).prop_map(
        |(kind, numbers, bytes, (blob, list), text)| Parts { kind, numbers, bytes, blob, list, text },
    )
}

fn frame(parts: &Parts) -> Frame<'_> {
    let [a, b, c] = parts.numbers;
    let blob = parts.blob.as_slice();
    match parts.kind {
        0 => Frame::Hello(Hello { protocol_version: a, page_size: b, max_page: c }),
        1 => Frame::HelloReply(HelloReply { protocol_version: a, page_size: b, max_page: c }),
        2 => Frame::PageHash(PageHash { page_no: a, hash: blob }),
        3 => Frame::PageHashBatch(PageHashBatch { start_page: a, end_page: b, combined_hash: blob }),
        4 => Frame::HashMismatchBatch(PageNumbers { page_numbers: parts.list.clone() }),
        5 => Frame::HashMismatch(PageNumber { page_no: a }),
        6 => Frame::RequestPage(PageNumber { page_no: a }),
        7 => Frame::RequestPages(PageNumbers { page_numbers: parts.list.clone() }),
        8 => Frame::PageData(PageData { page_no: a, data: blob }),
        9 => {
            Frame::PageDataBatch(parts.list.iter().map(|&page_no| PageData { page_no, data: blob }).collect())
        }
        10 => Frame::Complete,
        11 => Frame::SyncComplete(SyncComplete { pages_transferred: a, bytes_transferred: parts.bytes }),
        _ => Frame::Error(parts.text.clone()),
    }
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(parts in parts()) {
        let frame = frame(&parts);
        let bytes = frame.encode();
        prop_assert_eq!(Frame::decode(&bytes).unwrap(), frame);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Frame::decode(&bytes);
        let with_version: Vec<u8> = std::iter::once(1).chain(bytes).collect();
        let _ = Frame::decode(&with_version);
    }

    #[test]
    fn damaged_frames_never_panic(parts in parts(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = frame(&parts).encode();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(frame) = Frame::decode(&bytes) {
            let again = frame.encode();
            prop_assert_eq!(Frame::decode(&again).unwrap(), frame);
        }
    }
}
