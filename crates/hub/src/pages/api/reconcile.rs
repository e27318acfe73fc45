//! `POST /v1/databases/{db}/pages/reconcile`: digests from the top of the tree down, and then pages, for who has a copy of
//! unknown history (PAG-27).

use std::sync::Arc;

use axum::{body::Body, response::Response};
use ferry_core::pages::tree;
use ferry_protocol::pages::body::Run;
use ferry_sqlite::pages::At;
use ferry_types::{
    Error, PageCount, PageNo, PageSize, Reason, Result,
    limits::{PAGES_DIGESTS_FIRST_MAX, PAGES_DIGESTS_MAX},
};
use http::{HeaderName, HeaderValue, header, request::Parts};
use serde::Deserialize;

use super::{
    answer::{PagesError, add_version},
    body,
    request::{PagesRequest, Served},
    restore::read,
};
use crate::pages::state::blocking;

const LEVEL: HeaderName = HeaderName::from_static("ferry-level");
const PAGE_SIZE: HeaderName = HeaderName::from_static("ferry-page-size");
const PAGE_COUNT: HeaderName = HeaderName::from_static("ferry-page-count");
/// Bytes of a digest that are sent.
const DIGEST_BYTES: usize = 8;

/// Either form of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    at: Option<String>,
    level: Option<u8>,
    nodes: Option<Vec<(u32, u32)>>,
    since: Option<String>,
    pages: Option<Vec<(u32, u32)>>,
}

pub(super) async fn post(request: &PagesRequest, parts: &Parts, body: Body) -> Result<Response, PagesError> {
    let question: Question = read(request, body).await?;
    let served = match &question.at {
        None => request.newest(&parts.headers).await?,
        Some(tag) => {
            let tag = tag.parse().map_err(|_| bad("at: expected a tag, or null"))?;
            request.at(At::Tag(tag), &parts.headers).await?
        }
    };
    match question {
        Question { pages: Some(pages), level: None, nodes: None, since, .. } => {
            let since = body::parse_since(since.as_deref())?;
            let asked = runs(&pages, served.info().page_count)?;
            body::answer_from(request, parts, &served, (since, Some(asked))).await
        }
        Question { pages: None, since: None, level, nodes, .. } => digests(&served, level, nodes).await,
        _ => Err(bad("body: expected at, level and nodes, or at, since and pages").into()),
    }
}

fn bad(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

/// Ranges of pages, both ends included. Pages beyond the image are none.
fn runs(ranges: &[(u32, u32)], count: PageCount) -> Result<Vec<Run>> {
    let wrong = || bad("pages: expected ranges [first,last] that ascend, of pages that count from 1");
    let mut runs: Vec<Run> = Vec::with_capacity(ranges.len());
    for &(first, last) in ranges {
        let first = PageNo::new(first).ok_or_else(wrong)?;
        if last < first.get() || runs.last().is_some_and(|run| run.end() > u64::from(first.get())) {
            return Err(wrong());
        }
        let last = last.min(count.0.max(first.get()));
        runs.push(Run { first, length: last - first.get() + 1 });
    }
    Ok(runs)
}

/// Ranges of nodes, the last not included, and how many they are.
fn node_ranges(ranges: &[(u32, u32)], nodes: u32) -> Result<Vec<(u32, u32)>> {
    let (mut end, mut found) = (0, Vec::with_capacity(ranges.len()));
    for &(first, last) in ranges {
        if first < end || last < first || last >= nodes {
            return Err(bad(format!(
                "nodes: expected ranges [first,last] that ascend; this level has the nodes 0 to {}",
                nodes.saturating_sub(1)
            )));
        }
        end = last + 1;
        found.push((first, end));
    }
    Ok(found)
}

async fn digests(
    served: &Served,
    level: Option<u8>,
    nodes: Option<Vec<(u32, u32)>>,
) -> Result<Response, PagesError> {
    let info = served.info().clone();
    let count = info.page_count;
    let (level, ranges) = match level {
        None => {
            let lowest =
                (0..=tree::top_level(count)).find(|k| tree::nodes(count, *k) <= PAGES_DIGESTS_FIRST_MAX);
            let level = lowest.unwrap_or_else(|| tree::top_level(count));
            let all = tree::nodes(count, level);
            (level, if all == 0 { Vec::new() } else { vec![(0, all)] })
        }
        Some(level) if level > tree::top_level(count) => {
            let message = format!("level: this image has the levels 0 to {}", tree::top_level(count));
            return Err(bad(message).into());
        }
        Some(level) => (level, node_ranges(&nodes.unwrap_or_default(), tree::nodes(count, level))?),
    };
    let wanted: u32 = ranges.iter().map(|(first, end)| end - first).sum();
    if wanted > PAGES_DIGESTS_MAX {
        let message = format!("more than {PAGES_DIGESTS_MAX} digests: ask for fewer at once");
        return Err(Error::new(Reason::TooLarge, message).into());
    }
    let source = Arc::clone(&served.source);
    let digests = blocking(move || {
        let (mut digests, mut found) = (Vec::with_capacity(wanted as usize * DIGEST_BYTES), Vec::new());
        for (first, end) in ranges {
            found.clear();
            source.nodes(level, first, end, &mut found)?;
            found.iter().for_each(|node| digests.extend_from_slice(&node[..DIGEST_BYTES]));
        }
        Ok(digests)
    });
    let mut response = Response::new(Body::from(digests.await?));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(LEVEL, HeaderValue::from(u16::from(level)));
    headers.insert(PAGE_SIZE, HeaderValue::from(info.page_size.map_or(0, PageSize::get)));
    headers.insert(PAGE_COUNT, HeaderValue::from(count.0));
    add_version(headers, &info);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_ascend_and_stay_within_the_image() {
        let of = |ranges: &[(u32, u32)]| {
            let runs = runs(ranges, PageCount(20)).ok()?;
            Some(runs.iter().map(|run| (run.first.get(), run.length)).collect::<Vec<_>>())
        };
        assert_eq!(of(&[(1, 5), (6, 6), (9, u32::MAX)]), Some(vec![(1, 5), (6, 1), (9, 12)]));
        assert_eq!(of(&[(30, 40)]), Some(vec![(30, 1)]));
        for bad in [&[(0, 3)][..], &[(5, 3)], &[(1, 3), (3, 4)]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert_eq!(node_ranges(&[(0, 0), (1, 9)], 10), Ok(vec![(0, 1), (1, 10)]));
        for bad in [&[(0, 10)][..], &[(3, 2)], &[(1, 3), (3, 4)]] {
            assert!(node_ranges(bad, 10).is_err(), "{bad:?}");
        }
        assert!(node_ranges(&[(0, 0)], 0).is_err());
    }
}
