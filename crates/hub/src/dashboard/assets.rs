//! The files of the page. `npm run embed` in packages/dashboard makes them; `cargo build` needs no Node.

use std::{io::Write as _, sync::LazyLock};

use axum::{
    body::Bytes,
    response::{IntoResponse as _, Response},
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Method, StatusCode, header};

use crate::http::{KnownTags, accepts};

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
/// The first of them are the first page; the others come when they are wanted.
const FILES: [Asset; 5] = [
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
    Asset {
        name: "hub.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../dashboard/hub.js"),
    },
    Asset {
        name: "editor.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../dashboard/editor.js"),
    },
    Asset {
        name: "linked.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../dashboard/linked.js"),
    },
];

/// The large files compressed, once for all.
static COMPRESSED: LazyLock<[Bytes; 5]> =
    LazyLock::new(|| FILES.each_ref().map(|file| gzip(file.text.as_bytes())));

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(text).and_then(|()| encoder.finish());
    compressed.expect("BUG: a Vec takes all").into()
}

/// Behind what files name each other: the build that they are of.
const BUILD_MARK: &str = "?v=";

/// The build that is embedded.
static BUILD: LazyLock<&str> = LazyLock::new(|| {
    let rest = INDEX.text.split_once(BUILD_MARK).map_or("", |(_, rest)| rest);
    &rest[..rest.find('"').unwrap_or(0)]
});

/// The file of this name; the page itself for every other name, since its views have paths of their own. `query`: of which
/// build, where a file of the page asks.
pub(super) fn serve(
    (name, query): (&str, Option<&str>),
    prefix: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let found = FILES.iter().zip(0..).find(|(file, _)| file.name == name);
    let is_of_build = query.and_then(|query| query.strip_prefix("v=")).map(|build| build == *BUILD);
    if found.is_some() && is_of_build == Some(false) {
        // A page of another version of the hub, which is told to load anew.
        return (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")], "of another build\n")
            .into_response();
    }
    let is_kept = found.is_some() && is_of_build == Some(true);
    let (media_type, plain) = match found {
        Some((file, _)) => (file.media_type, Bytes::from_static(file.text.as_bytes())),
        None => (INDEX.media_type, page(prefix)),
    };
    // What is named by its build never changes; the page itself is asked for again, and costs a line.
    let lifetime = if is_kept { "public, max-age=31536000, immutable" } else { "no-cache" };
    // Weak, since it is that of both codings.
    let tag = format!("W/\"{}\"", &blake3::hash(&plain).to_hex()[..16]);
    let kept = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, lifetime.to_owned()),
        (header::VARY, "accept-encoding".to_owned()),
    ];
    if KnownTags::of(headers).has(&tag) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    let media_type = [(header::CONTENT_TYPE, media_type)];
    if !accepts(headers, "gzip") {
        return (kept, media_type, plain).into_response();
    }
    let compressed = match found {
        Some((_, at)) => {
            let at: usize = at;
            COMPRESSED[at].clone()
        }
        None => gzip(&plain),
    };
    (kept, media_type, [(header::CONTENT_ENCODING, "gzip")], compressed).into_response()
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

    /// What a first visit may transfer, and all visits.
    const FIRST_PAGE_MAX_BYTES: usize = 100 * 1024;
    const ALL_MAX_BYTES: usize = 220 * 1024;
    /// Files of the first page.
    const FIRST: usize = 2;

    fn asked(name: &str, prefix: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = http::Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (name, query) = name.split_once('?').map_or((name, None), |(name, query)| (name, Some(query)));
        serve((name, query), prefix, &Method::GET, request.body(()).unwrap().headers())
    }

    // Verifies: OPR-50
    #[test]
    fn a_browser_keeps_files_of_this_build_and_gets_none_of_another() {
        assert_eq!(BUILD.len(), 16, "{}", INDEX.text);
        let lifetime = |name: &str| {
            let response = asked(name, "", &[]);
            (response.status().as_u16(), response.headers()["cache-control"].to_str().unwrap().to_owned())
        };
        for file in FILES {
            let (status, kept) = lifetime(&format!("{}?v={}", file.name, *BUILD));
            assert!(status == 200 && kept.contains("immutable"), "{}: {status} {kept}", file.name);
            assert_eq!(lifetime(&format!("{}?v=0123456789abcdef", file.name)), (404, "no-store".to_owned()));
            assert_eq!(lifetime(file.name), (200, "no-cache".to_owned()));
            // Two scripts of one file would be two pages in one.
            for other in FILES {
                let named = [format!("./{}", other.name), format!("/_/{}", other.name)];
                for name in named {
                    assert_eq!(
                        file.text.matches(&name).count(),
                        file.text.matches(&format!("{name}?v={}", *BUILD)).count(),
                        "{} names {name}",
                        file.name
                    );
                }
            }
        }
        assert_eq!(lifetime("databases/x?v=0"), (200, "no-cache".to_owned()));
    }

    // Verifies: OPR-50
    #[test]
    fn the_first_page_is_small() {
        let bytes =
            |files: &[Bytes]| files.iter().map(Bytes::len).sum::<usize>() + gzip(INDEX.text.as_bytes()).len();
        let (first, all) = (bytes(&COMPRESSED[..FIRST]), bytes(&COMPRESSED[..]));
        assert!(first <= FIRST_PAGE_MAX_BYTES && all <= ALL_MAX_BYTES, "{first}, {all}");
    }

    #[test]
    fn the_page_names_its_own_files_and_nothing_inline() {
        for file in &FILES[..FIRST] {
            assert!(INDEX.text.contains(&format!("{OWN_PATH}{}?v=", file.name)), "{}", file.name);
        }
        // Scripts name each other by where they stand themselves, so that they need not know the hub's path.
        for file in &FILES[FIRST..] {
            assert!(FILES[0].text.contains(&format!("./{}?v=", file.name)), "{}", file.name);
        }
        assert!(!INDEX.text.contains("<style") && !INDEX.text.contains("://"), "{}", INDEX.text);
        assert_eq!(INDEX.text.matches("<script").count(), 1);
        let below = String::from_utf8(page("/hub").to_vec()).unwrap();
        assert!(below.contains("\"/hub/_/app.js?v=") && !below.contains(OWN_PATH), "{below}");
    }

    #[test]
    fn a_file_is_sent_once() {
        for name in ["app.js", "databases"] {
            assert_eq!(
                asked(name, "", &[("accept-encoding", "br, gzip")]).headers()["content-encoding"],
                "gzip"
            );
        }
        let first = asked("app.js", "", &[("accept-encoding", "br, gzip")]);
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        let again = asked("app.js", "", &[("if-none-match", &tag)]);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        for headers in [[("accept-encoding", "gzip;q=0")], [("accept", "*/*")]] {
            assert!(!asked("app.js", "", &headers).headers().contains_key("content-encoding"), "{headers:?}");
        }
        assert_eq!(asked("databases/x", "", &[]).headers()["content-type"], INDEX.media_type);
        let refused = serve(("app.js", None), "", &Method::POST, &HeaderMap::new());
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
