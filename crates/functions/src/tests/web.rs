use super::support::{NOW_MS, RoteDb, drive, pool, request, value_of};
use crate::*;

/// Each expression, and what JSON it gives.
fn check(cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (expression, expected) in cases {
        let found = value_of(&format!(
            "const attempt = async (f) => {{ try {{ return await f() }} catch (e) {{ return `${{e.name}}: ${{e.message}}` }} }}; \
             const hex = (b) => new Uint8Array(b).toHex(); const utf8 = (t) => new TextEncoder().encode(t); \
             return {expression}"
        ));
        if found != *expected {
            wrong.push(format!("{expression}\n     gives {found}\n  expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn urls_and_forms_follow_their_standard() {
    // Verifies: FUN-08
    check(&[
        (
            "(() => { const u = new URL('../b?x=1#h', 'https://me:pw@EXAMPLE.com:443/a/c'); return [u.href, u.origin, u.host, u.port, u.username, u.pathname, u.search, u.hash, `${u}`, JSON.stringify(u)] })()",
            r##"["https://me:pw@example.com/b?x=1#h","https://example.com","example.com","","me","/b","?x=1","#h","https://me:pw@example.com/b?x=1#h","\"https://me:pw@example.com/b?x=1#h\""]"##,
        ),
        (
            "(() => { const u = new URL('http://a/?q=1'); u.searchParams.append('r', 'ä b'); u.pathname = '/x y'; u.port = '8080'; u.hash = 'z'; u.port = 'no'; return [u.href, [...u.searchParams]] })()",
            r##"["http://a:8080/x%20y?q=1&r=%C3%A4+b#z",[["q","1"],["r","ä b"]]]"##,
        ),
        (
            "(() => { const u = new URL('http://a/'); u.search = '?k=v&k=w'; return u.searchParams.getAll('k') })()",
            r#"["v","w"]"#,
        ),
        (
            "[URL.canParse('x'), URL.canParse('x', 'http://a'), URL.parse('x'), new URL('http://bücher.example').host]",
            r#"[false,true,null,"xn--bcher-kva.example"]"#,
        ),
        ("attempt(() => new URL('nonsense'))", r#""TypeError: Invalid URL: nonsense""#),
        (
            "(() => { const s = new URLSearchParams({ b: 1, a: '&' }); s.append('b', 2); s.sort(); s.delete('b', '1'); s.set('c', 'x'); return [`${s}`, s.get('c'), s.get('d'), s.has('a'), s.size, [...s.keys()]] })()",
            r#"["a=%26&b=2&c=x","x",null,true,3,["a","b","c"]]"#,
        ),
        ("`${new URLSearchParams('?a=1+2&b=%41')}`", r#""a=1+2&b=A""#),
    ]);
}

#[test]
fn text_is_coded_and_decoded() {
    // Verifies: FUN-08
    check(&[
        ("[...utf8('ä€😀\\ud800')]", "[195,164,226,130,172,240,159,152,128,239,191,189]"),
        ("new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 0xc3, 0xa4, 0xff]))", "\"ä\u{fffd}\""),
        (
            "attempt(() => new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xff])))",
            r#""TypeError: The encoded data was not valid.""#,
        ),
        ("new TextDecoder('utf-16le').decode(new Uint8Array([0x3d, 0xd8, 0, 0xde]))", "\"😀\""),
        (
            "(() => { const d = new TextDecoder(); const b = utf8('a€😀'); let t = ''; for (const byte of b) t += d.decode(new Uint8Array([byte]), { stream: true }); return t + d.decode() })()",
            "\"a€😀\"",
        ),
        ("new TextEncoder().encodeInto('a€b', new Uint8Array(4))", r#"{"read":2,"written":4}"#),
        (
            "[btoa('hé'), atob('aOk='), await attempt(() => btoa('€'))]",
            r#"["aOk=","hé","InvalidCharacterError: String contains an invalid character"]"#,
        ),
    ]);
}

#[test]
fn objects_are_cloned_and_signals_abort() {
    // Verifies: FUN-08
    check(&[
        (
            "(() => { const a = { d: new Date(1), m: new Map([[1, { x: 1 }]]), s: new Set([2]), u: new Uint8Array([1]), n: [, 1], r: /a/g, b: 1n }; a.self = a; const c = structuredClone(a); return [c !== a, c.self === c, c.m.get(1) !== a.m.get(1), c.d.getTime(), [...c.s], [...c.u], 0 in c.n, c.r.flags, `${c.b}`] })()",
            r#"[true,true,true,1,[2],[1],false,"g","1"]"#,
        ),
        ("attempt(() => structuredClone({ f() {} }))", r#""DataCloneError: f() {} could not be cloned.""#),
        (
            "(() => { const c = new AbortController(); let seen = 0; c.signal.addEventListener('abort', () => seen++); c.signal.onabort = () => seen++; c.abort('why'); c.abort('again'); return [seen, c.signal.aborted, c.signal.reason, AbortSignal.any([c.signal]).reason] })()",
            r#"[2,true,"why","why"]"#,
        ),
        (
            "attempt(async () => { const s = AbortSignal.timeout(5); await new Promise((r) => s.addEventListener('abort', r)); s.throwIfAborted() })",
            r#""TimeoutError: The operation timed out.""#,
        ),
        (
            "(() => { const t = new EventTarget(); let n = 0; const f = () => n++; t.addEventListener('x', f, { once: true }); t.addEventListener('y', f); t.removeEventListener('y', f); t.dispatchEvent(new Event('x')); t.dispatchEvent(new Event('x')); t.dispatchEvent(new Event('y')); return n })()",
            "1",
        ),
    ]);
}

#[test]
fn clock_and_randomness_are_the_hosts_and_are_noted() {
    // Verifies: FUN-08
    type IsRight = fn(&Used) -> bool;
    let cases: &[(&str, IsRight)] = &[
        ("Date.now()", |used| used.clock && !used.random),
        ("new Date().getTime()", |used| used.clock),
        ("Date().length > 0", |used| used.clock),
        ("performance.now() >= 0", |used| used.clock),
        ("new Date(5).getTime()", |used| !used.clock),
        ("Math.random() < 1", |used| used.random && !used.clock),
        ("crypto.randomUUID().length", |used| used.random),
        ("crypto.getRandomValues(new Uint32Array(2)).length", |used| used.random),
        ("1", |used| *used == Used::default()),
    ];
    for (expression, is_right) in cases {
        let bundle = format!("export function f() {{ return {expression} }}");
        let outcome = super::support::run(&bundle, &mut RoteDb::default());
        assert!(is_right(&outcome.used), "{expression}: {:?}", outcome.used);
        assert!(outcome.result.is_ok(), "{expression}: {:?}", outcome.result);
    }
    let now = value_of(
        "return [Date.now() - 1790000000000 < 1000, new Date() instanceof Date, new (class extends Date {})(3).getTime(), Date.UTC(1970), Object.keys(new Date(NaN)).length]",
    );
    assert_eq!(now, "[true,true,3,0,0]");
    let body =
        "const start = Date.now(); let turns = 0; while (Date.now() - start < 20) turns++; return turns > 10";
    assert_eq!(value_of(body), "true", "the clock moves on with CPU time");
}

#[test]
fn fetch_asks_and_takes_the_answer() {
    // Verifies: FUN-08
    let bundle = r#"export async function f() {
      const out = [];
      const response = await fetch("https://Example.com/a b", { method: "post", body: new URLSearchParams({ a: "1" }), headers: { "X-A": " 1 " } });
      const copy = response.clone();
      out.push(response.status, response.ok, response.headers.get("content-TYPE"), response.headers.getSetCookie(), (await response.json()).n, await copy.text(), response.bodyUsed, response.url);
      try { await response.text(); } catch (e) { out.push(e.message); }
      try { await fetch("https://fails/"); } catch (e) { out.push(`${e.name}: ${e.message}`); }
      try { await fetch("https://x/", { method: "GET", body: "x" }); } catch (e) { out.push(e.message); }
      const c = new AbortController();
      const never = fetch("https://never/", { signal: c.signal });
      c.abort();
      try { await never; } catch (e) { out.push(e.name); }
      const later = new AbortController();
      const sent = fetch("https://never/", { signal: later.signal });
      setTimeout(() => later.abort("enough"), 5);
      try { await sent; } catch (e) { out.push(e); }
      let count = 0;
      try { for (;;) { await fetch("https://fails/").catch((e) => { if (e.message.includes("too often")) throw new Error("stop"); count++; }); } } catch (e) { out.push(e.message, count); }
      return out;
    }"#;
    let pool = pool(bundle);
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", "{}"));
    let mut asked = Vec::new();
    let outcome = drive(&mut call, &mut RoteDb::default(), |ask| {
        asked.push(ask.clone());
        let Ask::Fetch(request) = ask else { return None };
        match request.url.as_str() {
            "https://never/" => None,
            "https://fails/" => Some(AskAnswer::Fetch(Err("fetch failed: refused".to_owned()))),
            _ => Some(AskAnswer::Fetch(Ok(FetchResponse {
                status: 201,
                status_text: "Created".to_owned(),
                headers: vec![
                    ("Content-Type".to_owned(), "application/json".to_owned()),
                    ("Set-Cookie".to_owned(), "a=1".to_owned()),
                    ("Set-Cookie".to_owned(), "b=2".to_owned()),
                ],
                body: br#"{"n":5}"#.to_vec(),
                url: "https://example.com/there".to_owned(),
                redirected: true,
            }))),
        }
    });
    let expected = r#"[201,true,"application/json",["a=1","b=2"],5,"{\"n\":5}",true,"https://example.com/there","the body was read already","TypeError: fetch failed: refused","a request with GET has no body","AbortError","enough","stop",16]"#;
    assert_eq!(outcome.result, Ok(Some(expected.to_owned())));
    assert!(outcome.used.fetch);
    let first = FetchRequest {
        method: "POST".to_owned(),
        url: "https://example.com/a%20b".to_owned(),
        headers: vec![
            ("content-type".to_owned(), "application/x-www-form-urlencoded;charset=UTF-8".to_owned()),
            ("x-a".to_owned(), "1".to_owned()),
        ],
        body: Some(b"a=1".to_vec()),
        redirect: "follow".to_owned(),
    };
    assert_eq!(asked[0], Ask::Fetch(first));
    // What was aborted before it was sent is not sent; what was sent is cancelled.
    let cancels = asked.iter().filter(|ask| matches!(ask, Ask::Cancel(_))).count();
    assert_eq!(cancels, 1, "{asked:?}");
}

#[test]
fn bodies_and_headers_are_read_and_written() {
    // Verifies: FUN-08
    check(&[
        (
            "(async () => { const r = Response.json({ a: 1 }, { status: 202 }); return [r.status, r.headers.get('content-type'), await r.text()] })()",
            r#"[202,"application/json","{\"a\":1}"]"#,
        ),
        (
            "(async () => { const r = new Request('http://a/', { method: 'PUT', body: 'x' }); const b = await r.arrayBuffer(); return [r.method, b.byteLength, r.headers.get('content-type')] })()",
            r#"["PUT",1,"text/plain;charset=UTF-8"]"#,
        ),
        (
            "(() => { const h = new Headers([['A', '1'], ['a', '2'], ['Set-Cookie', 'x'], ['set-cookie', 'y']]); return [...h] })()",
            r#"[["a","1, 2"],["set-cookie","x"],["set-cookie","y"]]"#,
        ),
        ("attempt(() => new Headers({ 'a b': '1' }))", r#""TypeError: \"a b\" is no name of a header""#),
        ("attempt(() => new Headers({ a: 'x\\ny' }))", r#""TypeError: a header's value holds a line break""#),
        ("attempt(() => new Response('x', { status: 99 }))", r#""RangeError: a response has no status 99""#),
        (
            "[Response.redirect('http://a/', 307).headers.get('location'), await (await new Response(new Uint8Array([65, 66])).clone()).text()]",
            r#"["http://a/","AB"]"#,
        ),
        ("attempt(() => fetch('nonsense'))", r#""TypeError: Invalid URL: nonsense""#),
        (
            "attempt(() => fetch('http://a/', { method: 'TRACE' }))",
            r#""TypeError: fetch does not send the method TRACE""#,
        ),
    ]);
}

#[test]
fn web_crypto_agrees_with_published_vectors() {
    // Verifies: FUN-08
    // FIPS 180-4 for "abc"; RFC 4231 case 2; RFC 6070 and its SHA-256 kin; RFC 5869 case 1; RFC 8032 test 2.
    check(&[
        (
            "hex(await crypto.subtle.digest('SHA-1', utf8('abc')))",
            "\"a9993e364706816aba3e25717850c26c9cd0d89d\"",
        ),
        (
            "hex(await crypto.subtle.digest('SHA-256', utf8('abc')))",
            "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"",
        ),
        (
            "hex(await crypto.subtle.digest({ name: 'sha-384' }, utf8('abc'))).slice(0, 16)",
            "\"cb00753f45a35e8b\"",
        ),
        ("hex(await crypto.subtle.digest('SHA-512', utf8('abc'))).slice(0, 16)", "\"ddaf35a193617aba\""),
        (
            "(async () => { const k = await crypto.subtle.importKey('raw', utf8('Jefe'), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']); const s = await crypto.subtle.sign('HMAC', k, utf8('what do ya want for nothing?')); return [hex(s), await crypto.subtle.verify('HMAC', k, s, utf8('what do ya want for nothing?')), await crypto.subtle.verify('HMAC', k, s, utf8('x'))] })()",
            r#"["5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",true,false]"#,
        ),
        (
            "(async () => { const k = await crypto.subtle.importKey('raw', utf8('password'), 'PBKDF2', false, ['deriveBits']); const d = (hash, bits) => crypto.subtle.deriveBits({ name: 'PBKDF2', hash, salt: utf8('salt'), iterations: 4096 }, k, bits); return [hex(await d('SHA-1', 160)), hex(await d('SHA-256', 320))] })()",
            r#"["4b007901b765489abead49d926f721d065a429c1","c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134af7ad98c1b458ce3f"]"#,
        ),
        (
            "(async () => { const k = await crypto.subtle.importKey('raw', new Uint8Array(22).fill(0x0b), 'HKDF', false, ['deriveBits']); return hex(await crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt: Uint8Array.fromHex('000102030405060708090a0b0c'), info: Uint8Array.fromHex('f0f1f2f3f4f5f6f7f8f9') }, k, 336)) })()",
            "\"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865\"",
        ),
        (
            "(async () => { const jwk = { kty: 'OKP', crv: 'Ed25519', d: Uint8Array.fromHex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb').toBase64({ alphabet: 'base64url', omitPadding: true }) }; const k = await crypto.subtle.importKey('jwk', jwk, 'Ed25519', true, ['sign']); const s = await crypto.subtle.sign('Ed25519', k, new Uint8Array([0x72])); const pub = await crypto.subtle.importKey('raw', Uint8Array.fromHex('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c'), 'Ed25519', true, ['verify']); return [hex(s).slice(0, 32), await crypto.subtle.verify('Ed25519', pub, s, new Uint8Array([0x72])), await crypto.subtle.verify('Ed25519', pub, s, new Uint8Array([0x73]))] })()",
            r#"["92a009a9f0d4cab8720e820b5f642540",true,false]"#,
        ),
    ]);
}

#[test]
fn web_crypto_keys_go_out_and_come_in() {
    // Verifies: FUN-08
    check(&[
        (
            "(async () => { const alg = { name: 'ECDSA', namedCurve: 'P-256' }; const { privateKey, publicKey } = await crypto.subtle.generateKey(alg, true, ['sign', 'verify']); const h = { name: 'ECDSA', hash: 'SHA-256' }; const out = []; for (const format of ['jwk', 'pkcs8']) { const k = await crypto.subtle.importKey(format, await crypto.subtle.exportKey(format, privateKey), alg, false, ['sign']); const s = await crypto.subtle.sign(h, k, utf8('m')); for (const other of ['jwk', 'spki', 'raw']) { const p = await crypto.subtle.importKey(other, await crypto.subtle.exportKey(other, publicKey), alg, true, ['verify']); out.push(s.byteLength, await crypto.subtle.verify(h, p, s, utf8('m')), await crypto.subtle.verify(h, p, s, utf8('n'))); } } return out.join() })()",
            "\"64,true,false,64,true,false,64,true,false,64,true,false,64,true,false,64,true,false\"",
        ),
        (
            "(async () => { const { privateKey, publicKey } = await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify']); const k = await crypto.subtle.importKey('pkcs8', await crypto.subtle.exportKey('pkcs8', privateKey), 'Ed25519', false, ['sign']); const s = await crypto.subtle.sign('Ed25519', k, utf8('m')); const p = await crypto.subtle.importKey('spki', await crypto.subtle.exportKey('spki', publicKey), 'Ed25519', true, ['verify']); return [await crypto.subtle.verify('Ed25519', p, s, utf8('m')), await attempt(() => crypto.subtle.exportKey('raw', k))] })()",
            r#"[true,"InvalidAccessError: the key is not extractable"]"#,
        ),
        (
            "(async () => { const k = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt', 'decrypt']); const a = { name: 'AES-GCM', iv: new Uint8Array(12), additionalData: utf8('a') }; const c = await crypto.subtle.encrypt(a, k, utf8('secret')); return [c.byteLength, new TextDecoder().decode(await crypto.subtle.decrypt(a, k, c)), await attempt(() => crypto.subtle.decrypt({ ...a, additionalData: utf8('b') }, k, c)), (await crypto.subtle.exportKey('raw', k)).byteLength] })()",
            r#"[22,"secret","OperationError: the data was not made with this key, iv and additional data",32]"#,
        ),
        // NIST's test case 2 of AES-GCM: 128-bit key, all zero.
        (
            "(async () => { const k = await crypto.subtle.importKey('raw', new Uint8Array(16), 'AES-GCM', false, ['encrypt']); return hex(await crypto.subtle.encrypt({ name: 'AES-GCM', iv: new Uint8Array(12) }, k, new Uint8Array(16))) })()",
            "\"0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf\"",
        ),
        (
            "(async () => { const k = await crypto.subtle.importKey('raw', utf8('p'), 'PBKDF2', false, ['deriveKey']); const d = await crypto.subtle.deriveKey({ name: 'PBKDF2', hash: 'SHA-256', salt: utf8('s'), iterations: 1 }, k, { name: 'AES-GCM', length: 128 }, true, ['encrypt']); return [d.algorithm.length, d.usages] })()",
            r#"[128,["encrypt"]]"#,
        ),
        (
            "attempt(() => crypto.subtle.importKey('raw', new Uint8Array(3), { name: 'ECDSA', namedCurve: 'P-256' }, true, ['verify']))",
            r#""DataError: the key cannot be read""#,
        ),
        (
            "attempt(() => crypto.subtle.digest('MD5', utf8('x')))",
            r#""NotSupportedError: MD5 is not available""#,
        ),
        (
            "attempt(() => crypto.subtle.generateKey({ name: 'RSA-PSS', hash: 'SHA-256' }, true, ['sign']))",
            r#""NotSupportedError: generating keys for RSA-PSS is not available""#,
        ),
    ]);
}

#[test]
fn rsa_signatures_are_verified() {
    // Verifies: FUN-08
    use rsa::{Pkcs1v15Sign, Pss, RsaPrivateKey, pkcs8::EncodePublicKey, traits::PublicKeyParts};
    use sha2::{Digest, Sha256};

    let mut random = rsa::rand_core::OsRng;
    let key = RsaPrivateKey::new(&mut random, 1024).expect("a key");
    let hashed = Sha256::digest(b"message");
    let plain = key.sign(Pkcs1v15Sign::new::<Sha256>(), &hashed).expect("it signs");
    let pss = key.sign_with_rng(&mut random, Pss::new_with_salt::<Sha256>(32), &hashed).expect("it signs");
    let public = key.to_public_key();
    let spki = public.to_public_key_der().expect("DER");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let bundle = format!(
        r#"export async function f() {{
          const from = (hex) => Uint8Array.fromHex(hex);
          const url = (hex) => from(hex).toBase64({{ alphabet: "base64url", omitPadding: true }});
          const jwk = {{ kty: "RSA", n: url("{n}"), e: url("{e}") }};
          const out = [];
          for (const [name, signature] of [["RSASSA-PKCS1-v1_5", "{plain}"], ["RSA-PSS", "{pss}"]]) {{
            for (const [format, data] of [["spki", from("{spki}")], ["jwk", jwk]]) {{
              const key = await crypto.subtle.importKey(format, data, {{ name, hash: "SHA-256" }}, true, ["verify"]);
              for (const text of ["message", "massage"]) {{
                out.push(await crypto.subtle.verify({{ name, saltLength: 32 }}, key, from(signature), new TextEncoder().encode(text)));
              }}
            }}
          }}
          return out;
        }}"#,
        n = hex(&public.n().to_bytes_be()),
        e = hex(&public.e().to_bytes_be()),
        plain = hex(&plain),
        pss = hex(&pss),
        spki = hex(spki.as_bytes()),
    );
    let outcome = super::support::run(&bundle, &mut RoteDb::default());
    assert_eq!(outcome.result, Ok(Some("[true,false,true,false,true,false,true,false]".to_owned())));
}
