//! Parts of paths.

use percent_encoding::percent_decode_str;

/// A part of a path, without its escapes; `None` if they are no UTF-8.
pub(super) fn decoded(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}
