//! Bodies that are read from a file while they are sent.

use std::fs::File;

use axum::body::Body;
use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;

/// Bytes read from the file at once.
const READ_BYTES: usize = 64 << 10;

/// A body that reads `file` from where it stands. It holds `held` until it is sent, or nobody takes it any more.
pub(crate) fn file_body<H: Send + 'static>(file: File, held: H) -> Body {
    let begin = (tokio::fs::File::from_std(file), held);
    let stream = futures_util::stream::unfold(begin, |(mut file, held)| async move {
        let mut piece = BytesMut::with_capacity(READ_BYTES);
        match file.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(piece.freeze()), (file, held))),
            Err(error) => Some((Err(error), (file, held))),
        }
    });
    Body::from_stream(stream)
}
