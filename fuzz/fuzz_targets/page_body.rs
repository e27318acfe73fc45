//! Bodies of pages, as bytes: in pieces or whole, the same comes of them.

#![no_main]

use ferry_protocol::pages::body::{BodyDecoder, Item, decode_copy};
use libfuzzer_sys::fuzz_target;

fn items(body: &[u8], piece: usize) -> Option<Vec<Item>> {
    let (mut decoder, mut items) = (BodyDecoder::new(), Vec::new());
    for piece in body.chunks(piece) {
        decoder.push(piece);
        while let Some((_, item)) = decoder.next_item().ok()? {
            items.push(item);
        }
    }
    decoder.close();
    while let Some((_, item)) = decoder.next_item().ok()? {
        items.push(item);
    }
    Some(items)
}

fuzz_target!(|body: &[u8]| {
    let _ = decode_copy(body);
    let whole = items(body, usize::MAX);
    assert_eq!(items(body, 7), whole);
});
