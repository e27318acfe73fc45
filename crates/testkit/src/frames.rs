//! EdgeReplica's frames, written from the specification (pages, section 2.2) and independent of Ferry's codec:
//! byte 01, then a MessagePack map of `kind` and `data`.

use serde::{Deserialize, Serialize};

/// The version byte before each frame.
pub const VERSION: u8 = 1;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the specification's own words")]
pub enum Frame {
    Hello {
        protocol_version: u32,
        page_size: u32,
        max_page: u32,
    },
    HelloReply {
        protocol_version: u32,
        page_size: u32,
        max_page: u32,
    },
    PageHash {
        page_no: u32,
        #[serde(with = "serde_bytes")]
        hash: Vec<u8>,
    },
    PageHashBatch {
        start_page: u32,
        end_page: u32,
        #[serde(with = "serde_bytes")]
        combined_hash: Vec<u8>,
    },
    HashMismatchBatch {
        page_numbers: Vec<u32>,
    },
    RequestPage {
        page_no: u32,
    },
    RequestPages {
        page_numbers: Vec<u32>,
    },
    HashMismatch {
        page_no: u32,
    },
    PageData {
        page_no: u32,
        #[serde(with = "serde_bytes")]
        data: Vec<u8>,
    },
    PageDataBatch {
        pages: Vec<Page>,
    },
    Complete,
    SyncComplete {
        pages_transferred: u64,
        bytes_transferred: u64,
    },
    Error {
        message: String,
    },
}

/// A page of `page_data_batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Number from 1.
    pub page_no: u32,
    /// Content.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

impl Frame {
    /// The client's first frame, as EdgeReplica's program sends it: page size 4096 whatever the file has.
    #[must_use]
    pub const fn hello(max_page: u32) -> Self {
        Self::Hello { protocol_version: 1, page_size: 4096, max_page }
    }

    /// The announcement of a page with this content.
    #[must_use]
    pub fn page_hash(page_no: u32, content: &[u8]) -> Self {
        Self::PageHash { page_no, hash: blake3::hash(content).as_bytes().to_vec() }
    }

    /// Its bytes.
    ///
    /// # Panics
    /// Never: every frame can be written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(rmp_serde::to_vec_named(self).expect("BUG: a frame can be written"));
        bytes
    }

    /// The frame of these bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&VERSION, map)) => rmp_serde::from_slice(map).map_err(|error| error.to_string()),
            other => Err(format!("version byte {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn frames_equal_the_specifications_examples() {
        let examples = [
            (
                Frame::hello(3),
                "0182a46b696e64a568656c6c6fa46461746183b070726f746f636f6c5f76657273696f6e01a9706167655f73697a65\
                 cd1000a86d61785f7061676503",
            ),
            (Frame::Complete, "0181a46b696e64a8636f6d706c657465"),
            (
                Frame::SyncComplete { pages_transferred: 2, bytes_transferred: 8192 },
                "0182a46b696e64ad73796e635f636f6d706c657465a46461746182b170616765735f7472616e7366657272656402b1627974\
                 65735f7472616e73666572726564cd2000",
            ),
            (
                Frame::Error { message: "boom".into() },
                "0182a46b696e64a56572726f72a46461746181a76d657373616765a4626f6f6d",
            ),
        ];
        for (frame, bytes) in examples {
            assert_eq!(hex(&frame.encode()), bytes);
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
    }
}
