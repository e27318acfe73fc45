//! The files of the page. `npm run embed` in packages/dashboard makes them; `cargo build` needs no Node.

use std::{io::Write as _, sync::LazyLock};

use axum::{
    body::Bytes,
    response::{IntoResponse as _, Response},
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Method, StatusCode, header};

/// Where the page finds its files, unless the hub stands below a path.
const OWN_PATH: &str = "\"/_/";

/// A file as it is sent.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const INDEX: Asset = Asset {
    name: "index.html",
    media_type: "text/html; charset=utf-8",
    text: include_str!("../../dashboard/index.html"),
};
const FILES: [Asset; 2] = [
    Asset {
        name: "app.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../dashboard/app.js"),
    },
    Asset {
        name: "app.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("../../dashboard/app.css"),
    },
];

/// The large files compressed, once for all.
static COMPRESSED: LazyLock<[Bytes; 2]> = LazyLock::new(|| FILES.each_ref().map(|file| gzip(file.text)));

fn gzip(text: &str) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    compressed.expect("BUG: a Vec takes all").into()
}

/// The file of this name; the page itself for every other name, since its views have paths of their own.
pub(super) fn serve(name: &str, prefix: &str, method: &Method, headers: &HeaderMap) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let found = FILES.iter().zip(0..).find(|(file, _)| file.name == name);
    let (media_type, plain) = match found {
        Some((file, _)) => (file.media_type, Bytes::from_static(file.text.as_bytes())),
        None => (INDEX.media_type, page(prefix)),
    };
    // Another build has other contents; what is kept is asked for again, and costs a line.
    let tag = format!("\"{}\"", &blake3::hash(&plain).to_hex()[..16]);
    let kept = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::VARY, "accept-encoding".to_owned()),
    ];
    let of = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if of(header::IF_NONE_MATCH).split(',').any(|known| known.trim().trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    let takes_gzip = of(header::ACCEPT_ENCODING).split(',').any(|coding| {
        let mut parts = coding.split(';');
        parts.next().is_some_and(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
            && !parts.any(|weight| matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    });
    let media_type = [(header::CONTENT_TYPE, media_type)];
    match found {
        Some((_, at)) if takes_gzip => {
            let at: usize = at;
            (kept, media_type, [(header::CONTENT_ENCODING, "gzip")], COMPRESSED[at].clone()).into_response()
        }
        _ => (kept, media_type, plain).into_response(),
    }
}

/// The page, which names its files below the hub's path.
fn page(prefix: &str) -> Bytes {
    match prefix {
        "" => Bytes::from_static(INDEX.text.as_bytes()),
        prefix => INDEX.text.replace(OWN_PATH, &format!("\"{prefix}/_/")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a first visit may transfer.
    const FIRST_PAGE_MAX_BYTES: usize = 100 * 1024;

    fn asked(name: &str, prefix: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = http::Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        serve(name, prefix, &Method::GET, request.body(()).unwrap().headers())
    }

    // Verifies: OPR-50
    #[test]
    fn the_first_page_is_small() {
        let bytes: usize = COMPRESSED.iter().map(Bytes::len).sum::<usize>() + INDEX.text.len();
        assert!(bytes <= FIRST_PAGE_MAX_BYTES, "{bytes}");
    }

    #[test]
    fn the_page_names_its_own_files_and_nothing_inline() {
        for file in FILES {
            assert!(INDEX.text.contains(&format!("{OWN_PATH}{}\"", file.name)), "{}", file.name);
        }
        assert!(!INDEX.text.contains("<style") && !INDEX.text.contains("://"), "{}", INDEX.text);
        assert_eq!(INDEX.text.matches("<script").count(), 1);
        let below = String::from_utf8(page("/hub").to_vec()).unwrap();
        assert!(below.contains("\"/hub/_/app.js\"") && !below.contains(OWN_PATH), "{below}");
    }

    #[test]
    fn a_file_is_sent_once() {
        let first = asked("app.js", "", &[("accept-encoding", "br, gzip")]);
        assert_eq!(first.headers()["content-encoding"], "gzip");
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        let again = asked("app.js", "", &[("if-none-match", &format!("W/{tag}"))]);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        for headers in [[("accept-encoding", "gzip;q=0")], [("accept", "*/*")]] {
            assert!(!asked("app.js", "", &headers).headers().contains_key("content-encoding"), "{headers:?}");
        }
        assert_eq!(asked("databases/x", "", &[]).headers()["content-type"], INDEX.media_type);
        let refused = serve("app.js", "", &Method::POST, &HeaderMap::new());
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
