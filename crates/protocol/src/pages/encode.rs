//! Frames to bytes.

use serde::Serialize;

use super::{ENVELOPE_VERSION, Frame, PageBytes};

#[derive(Serialize)]
struct Envelope<T> {
    kind: &'static str,
    data: T,
}

#[derive(Serialize)]
struct Bare {
    kind: &'static str,
}

#[derive(Serialize)]
struct Pages<'f, 'a> {
    pages: &'f [PageBytes<'a>],
}

#[derive(Serialize)]
struct Message<'f> {
    message: &'f str,
}

impl Frame<'_> {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size_hint());
        self.encode_into(&mut bytes);
        bytes
    }

    /// Appends the frame's bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(ENVELOPE_VERSION);
        match self {
            Self::Hello(data) => self.write(data, out),
            Self::HelloReply(data) => self.write(data, out),
            Self::PageHash(data) => self.write(data, out),
            Self::PageHashBatch(data) => self.write(data, out),
            Self::HashMismatchBatch(data) | Self::RequestPages(data) => self.write(data, out),
            Self::HashMismatch(data) | Self::RequestPage(data) => self.write(data, out),
            Self::PageData(data) => self.write(data, out),
            Self::PageDataBatch(pages) => self.write(&Pages { pages }, out),
            Self::Complete => write(&Bare { kind: self.kind() }, out),
            Self::SyncComplete(data) => self.write(data, out),
            Self::Error(message) => self.write(&Message { message }, out),
        }
    }

    fn write(&self, data: &impl Serialize, out: &mut Vec<u8>) {
        write(&Envelope { kind: self.kind(), data }, out);
    }

    /// Bytes that the encoded frame needs at most, save for the growth of lists.
    fn size_hint(&self) -> usize {
        const FIELDS: usize = 128;
        match self {
            Self::PageData(page) => FIELDS + page.data.len(),
            Self::PageDataBatch(pages) => {
                FIELDS + pages.iter().map(|page| 32 + page.data.len()).sum::<usize>()
            }
            Self::HashMismatchBatch(list) | Self::RequestPages(list) => FIELDS + 5 * list.page_numbers.len(),
            _ => FIELDS,
        }
    }
}

fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
    value.serialize(&mut serializer).expect("BUG: a frame of numbers, text and bytes always encodes");
}
