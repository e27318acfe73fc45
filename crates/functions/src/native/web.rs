//! URLs, forms and text encodings.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rquickjs::{Array, Ctx, Error, Function, Object, Result, TypedArray, Value};
use url::{Url, quirks};

pub(super) fn install<'js>(native: &Object<'js>) -> Result<()> {
    let ctx = native.ctx();
    let parse = |text: String, base: Option<String>| {
        let base = base.map(|base| Url::parse(&base)).transpose().ok()?;
        Url::options().base_url(base.as_ref()).parse(&text).ok().map(|url| parts(&url))
    };
    native.set("parseUrl", Function::new(ctx.clone(), parse)?)?;
    native.set(
        "setUrl",
        Function::new(ctx.clone(), |href: String, part: String, value: String| {
            set_part(&href, &part, &value)
        })?,
    )?;
    let parse_form = |text: String| {
        let pairs = form_urlencoded::parse(text.as_bytes());
        pairs.map(|(name, value)| vec![name.into_owned(), value.into_owned()]).collect::<Vec<_>>()
    };
    native.set("parseForm", Function::new(ctx.clone(), parse_form)?)?;
    let write_form = |texts: Vec<String>| {
        let pairs = texts.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    };
    native.set("writeForm", Function::new(ctx.clone(), write_form)?)?;
    let encode = |ctx: Ctx<'js>, text: String| TypedArray::<u8>::new_copy(ctx, text);
    native.set("encodeUtf8", Function::new(ctx.clone(), encode)?)?;
    let decode = |ctx: Ctx<'js>, base64: String, encoding: String, is_fatal: bool, is_stream: bool| {
        decode(ctx, &base64, &encoding, is_fatal, is_stream)
    };
    native.set("decode", Function::new(ctx.clone(), decode)?)
}

/// The parts of a URL in the order of the prelude.
fn parts(url: &Url) -> Vec<String> {
    [
        quirks::href(url),
        &quirks::origin(url),
        quirks::protocol(url),
        quirks::username(url),
        quirks::password(url),
        quirks::host(url),
        quirks::hostname(url),
        quirks::port(url),
        quirks::pathname(url),
        quirks::search(url),
        quirks::hash(url),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The URL with a part changed; `None` where the part cannot be so, which leaves it as it was.
fn set_part(href: &str, part: &str, value: &str) -> Option<Vec<String>> {
    let mut url = Url::parse(href).ok()?;
    match part {
        "href" => url = Url::parse(value).ok()?,
        "protocol" => quirks::set_protocol(&mut url, value).ok()?,
        "username" => quirks::set_username(&mut url, value).ok()?,
        "password" => quirks::set_password(&mut url, value).ok()?,
        "host" => quirks::set_host(&mut url, value).ok()?,
        "hostname" => quirks::set_hostname(&mut url, value).ok()?,
        "port" => quirks::set_port(&mut url, value).ok()?,
        "pathname" => quirks::set_pathname(&mut url, value),
        "search" => quirks::set_search(&mut url, value),
        "hash" => quirks::set_hash(&mut url, value),
        _ => return None,
    }
    Some(parts(&url))
}

/// Decodes base64 of bytes: the text and how many bytes it took; undefined where they are not valid. In a stream what is
/// cut off at the end is left for the next time.
fn decode<'js>(
    ctx: Ctx<'js>,
    base64: &str,
    encoding: &str,
    is_fatal: bool,
    is_stream: bool,
) -> Result<Value<'js>> {
    let bytes = STANDARD.decode(base64).map_err(|_| Error::new_from_js("string", "bytes"))?;
    let decoded = match encoding {
        "utf-16le" => utf_16(&bytes, is_fatal, is_stream),
        "windows-1252" => Some((bytes.iter().map(|byte| char::from(*byte)).collect(), bytes.len())),
        _ => utf_8(&bytes, is_fatal, is_stream),
    };
    let Some((text, used)) = decoded else { return Ok(Value::new_undefined(ctx)) };
    let answer = Array::new(ctx)?;
    answer.set(0, text)?;
    answer.set(1, used)?;
    Ok(answer.into_value())
}

fn utf_8(bytes: &[u8], is_fatal: bool, is_stream: bool) -> Option<(String, usize)> {
    let cut = match std::str::from_utf8(bytes) {
        Ok(text) => return Some((text.to_owned(), bytes.len())),
        // Without a length the error is an end that was cut off.
        Err(_) if is_stream => bytes.utf8_chunks().last().map_or(0, |chunk| {
            let tail = chunk.invalid();
            let is_cut = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
            if is_cut { tail.len() } else { 0 }
        }),
        Err(_) => 0,
    };
    let whole = &bytes[..bytes.len() - cut];
    let text = String::from_utf8_lossy(whole);
    let is_valid = matches!(text, std::borrow::Cow::Borrowed(_));
    (is_valid || !is_fatal).then(|| (text.into_owned(), whole.len()))
}

fn utf_16(bytes: &[u8], is_fatal: bool, is_stream: bool) -> Option<(String, usize)> {
    let mut units: Vec<u16> =
        bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    let is_high = |unit: &u16| (0xd800..0xdc00).contains(unit);
    if is_stream && units.last().is_some_and(is_high) {
        units.pop();
    }
    let used = units.len() * 2;
    let is_odd = !is_stream && bytes.len() % 2 == 1;
    if is_fatal && (is_odd || String::from_utf16(&units).is_err()) {
        return None;
    }
    let mut text = String::from_utf16_lossy(&units);
    if is_odd {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    Some((text, if is_stream { used } else { bytes.len() }))
}
