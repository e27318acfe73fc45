//! The frames as they stand on the wire. Values are not yet checked: a `page_no` may be 0, a hash of any length.

use serde::{Deserialize, Serialize};

/// `hello`: the client's first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// 1.
    pub protocol_version: u32,
    /// Always 4096, whatever the file has: ignore it.
    pub page_size: u32,
    /// Pages of the client's file; 0 if it has none.
    pub max_page: u32,
}

/// `hello_reply`: the hub's answer to `hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// 1.
    pub protocol_version: u32,
    /// Bytes per page of the hub's image; of an empty one, what the client said.
    pub page_size: u32,
    /// Pages of the hub's image.
    pub max_page: u32,
}

/// `page_hash`: one page of the client's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageHash<'a> {
    /// From 1.
    pub page_no: u32,
    /// BLAKE3 of the page as the file has it, 32 bytes.
    #[serde(with = "serde_bytes")]
    pub hash: &'a [u8],
}

/// `page_hash_batch`: a run of pages; EdgeReplica's CLI does not send it, other clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageHashBatch<'a> {
    /// First page.
    pub start_page: u32,
    /// Last page, included.
    pub end_page: u32,
    /// BLAKE3 of the pages' hashes, concatenated.
    #[serde(with = "serde_bytes")]
    pub combined_hash: &'a [u8],
}

/// `request_page` (the hub wants one page of a push) and `hash_mismatch` (never sent by Ferry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageNumber {
    /// From 1.
    pub page_no: u32,
}

/// `hash_mismatch_batch` (answer to a batch) and `request_pages` (never sent by Ferry).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageNumbers {
    /// From 1 each.
    pub page_numbers: Vec<u32>,
}

/// `page_data`: the content of one page; from the client in a push, from the hub in a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageData<'a> {
    /// From 1.
    pub page_no: u32,
    /// The whole page.
    #[serde(with = "serde_bytes")]
    pub data: &'a [u8],
}

/// One page of a [`Frame::PageDataBatch`].
pub type PageBytes<'a> = PageData<'a>;

/// `sync_complete`: the hub's last frame of a session that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncComplete {
    /// Pages that travelled as data.
    pub pages_transferred: u32,
    /// Their bytes.
    pub bytes_transferred: u64,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Client, first, once.
    Hello(Hello),
    /// Hub.
    HelloReply(HelloReply),
    /// Client, ascending.
    PageHash(PageHash<'a>),
    /// Clients other than EdgeReplica's CLI.
    PageHashBatch(PageHashBatch<'a>),
    /// Hub, only to a batch.
    HashMismatchBatch(PageNumbers),
    /// Hub; never sent by Ferry.
    HashMismatch(PageNumber),
    /// Hub, in a push.
    RequestPage(PageNumber),
    /// Hub; never sent by Ferry.
    RequestPages(PageNumbers),
    /// Client in a push, hub in a pull.
    PageData(PageData<'a>),
    /// Client, in a push.
    PageDataBatch(Vec<PageBytes<'a>>),
    /// Client: everything is announced.
    Complete,
    /// Hub, once.
    SyncComplete(SyncComplete),
    /// Hub, then it closes: what was wrong and what to do.
    Error(String),
}

impl Frame<'_> {
    /// The word of the frame on the wire.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::HelloReply(_) => "hello_reply",
            Self::PageHash(_) => "page_hash",
            Self::PageHashBatch(_) => "page_hash_batch",
            Self::HashMismatchBatch(_) => "hash_mismatch_batch",
            Self::HashMismatch(_) => "hash_mismatch",
            Self::RequestPage(_) => "request_page",
            Self::RequestPages(_) => "request_pages",
            Self::PageData(_) => "page_data",
            Self::PageDataBatch(_) => "page_data_batch",
            Self::Complete => "complete",
            Self::SyncComplete(_) => "sync_complete",
            Self::Error(_) => "error",
        }
    }

    /// Whether only the hub may send it.
    #[must_use]
    pub const fn is_from_hub(&self) -> bool {
        matches!(
            self,
            Self::HelloReply(_)
                | Self::HashMismatchBatch(_)
                | Self::HashMismatch(_)
                | Self::RequestPage(_)
                | Self::RequestPages(_)
                | Self::SyncComplete(_)
                | Self::Error(_)
        )
    }
}
