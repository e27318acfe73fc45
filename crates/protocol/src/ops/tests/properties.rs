//! Whatever comes.

use proptest::prelude::*;
use serde_json::Value;

use super::super::*;

/// Text of which much is nearly JSON.
const NEARLY_JSON: &str =
    "([\\[\\]{}\":, \\n0-9eE.+\\\\uotrnalsp-]|\"ops\":|\"hlc\":\"a\"|\"v\":1|\\PC){0,60}";

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}|[\\x00-\\x7f]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec(("[a-c\"\\\\é\n]{0,3}", inner), 0..6)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

/// What a scanner gives of a body that comes in pieces of these sizes, in turn.
fn scan(body: &[u8], sizes: &[usize]) -> Result<Vec<String>, BadArray> {
    let mut scanner = ArrayScanner::new(1 << 20);
    let (mut elements, mut rest, mut turn) = (Vec::new(), body, 0);
    while !rest.is_empty() {
        let size = sizes[turn % sizes.len()].clamp(1, rest.len());
        elements.extend(scanner.feed(&rest[..size])?);
        rest = &rest[size..];
        turn += 1;
    }
    scanner.finish()?;
    Ok(elements)
}

proptest! {
    #[test]
    fn any_text_is_an_op_or_not(raw in NEARLY_JSON) {
        let _ = parse_op(&raw);
        let _ = PushBody::decode(raw.as_bytes());
        let _ = RpcRequest::read(raw.as_bytes());
        let _ = LiveReader::default().feed(raw.as_bytes());
        let _ = SnapshotReader::default().line(&raw);
        let _ = raw.parse::<Skip>();
    }

    #[test]
    fn the_tokens_are_those_of_json(raw in NEARLY_JSON) {
        // serde_json reads no number beyond a double's range, and the form keeps every one.
        let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&raw).is_ok();
        let object = format!("{{\"hlc\":\"a\",\"x\":{raw}}}");
        let has_one_member = serde_json::from_str::<std::collections::BTreeMap<String, &serde_json::value::RawValue>>(&object)
            .is_ok_and(|members| members.len() == 2);
        if is_json && has_one_member {
            prop_assert!(parse_op(&object).is_ok(), "{object}");
        } else if !is_json {
            prop_assert!(!parse_op(&object).is_ok_and(|_| serde_json::from_str::<Value>(&object).is_err()), "{object}");
        }
    }

    #[test]
    fn canonical_json_is_a_fixed_point_that_means_the_same(value in json()) {
        for raw in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let once = canonical(&raw).into_owned();
            prop_assert_eq!(canonical(&once), once.as_str());
            prop_assert_eq!(serde_json::from_str::<Value>(&once).unwrap(), serde_json::from_str::<Value>(&raw).unwrap());
        }
        let (short, long) = (value.to_string(), serde_json::to_string_pretty(&value).unwrap());
        prop_assert_eq!(canonical(&short), canonical(&long));
    }

    #[test]
    fn elements_are_the_same_in_any_pieces(
        before in json(),
        ops in proptest::collection::vec((json(), "[ \n]{0,2}"), 0..8),
        after in json(),
        sizes in proptest::collection::vec(1_usize..30, 1..6),
    ) {
        let elements: Vec<String> = ops.iter().map(|(op, _)| op.to_string()).collect();
        let padded: Vec<String> = ops.iter().map(|(op, blank)| format!("{blank}{op}{blank}")).collect();
        let body = format!(" {{\"a\":{before},\"o\\u0070s\" : [{}] ,\"b\":{after}}}\n", padded.join(","));
        prop_assert_eq!(scan(body.as_bytes(), &[body.len()]), Ok(elements.clone()));
        prop_assert_eq!(scan(body.as_bytes(), &sizes), Ok(elements));
        for cut in 1..body.len() - 1 {
            prop_assert_eq!(scan(&body.as_bytes()[..cut], &sizes), Err(BadArray::Truncated), "cut at {}", cut);
        }
    }

    #[test]
    fn a_body_is_read_as_json_says(body in NEARLY_JSON, sizes in proptest::collection::vec(1_usize..9, 1..4)) {
        #[derive(serde::Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            ops: Vec<&'a serde_json::value::RawValue>,
        }
        for body in [body.clone(), format!("{{{body}}}"), format!("{{\"ops\":[{body}]}}")] {
            let whole = scan(body.as_bytes(), &[body.len()]);
            prop_assert_eq!(&scan(body.as_bytes(), &sizes), &whole);
            if let Ok(read) = serde_json::from_str::<Body<'_>>(&body) {
                let elements: Vec<String> = read.ops.iter().map(|raw| raw.get().to_owned()).collect();
                prop_assert_eq!(whole, Ok(elements), "{}", body);
            } else {
                prop_assert!(whole.is_err(), "{}", body);
            }
        }
    }

    #[test]
    fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = scan(&bytes, &[3]);
        let _ = MissingBody::decode(&bytes);
        let _ = OpsErrorBody::decode(&bytes);
        let _ = RpcRequest::read(&bytes);
    }
}

#[test]
fn what_is_wrong_with_a_body_is_told() {
    for (body, mistake) in [
        ("", BadArray::Truncated),
        ("[]", BadArray::NoArray),
        ("7", BadArray::NoArray),
        ("{}", BadArray::NoArray),
        ("{\"ops\":{}}", BadArray::NoArray),
        ("{\"ops\":[],\"ops\":[]}", BadArray::Repeated),
        ("{\"ops\":[1,]}", BadArray::NotJson(10)),
        ("{\"ops\":[01]}", BadArray::NotJson(9)),
        ("{\"ops\":[]}}", BadArray::NotJson(10)),
        ("{\"ops\":[\"\\ud80\"]}", BadArray::NotJson(14)),
        ("{\"ops\":[}", BadArray::NotJson(8)),
    ] {
        assert_eq!(scan(body.as_bytes(), &[1]), Err(mistake), "{body}");
    }
    assert_eq!(scan(b"{\"ops\":[\"\xff\"]}", &[4]), Err(BadArray::NotUtf8));
    for skipped in [
        &b"{\"a\xff\":1,\"ops\":[]}"[..],
        b"{\"a\":[\"\xc3\"],\"ops\":[]}",
        b"{\"ops\":[],\"a\":\"\xc3\\n\"}",
    ] {
        assert_eq!(scan(skipped, &[1]), Err(BadArray::NotUtf8));
        assert_eq!(scan(skipped, &[4]), Err(BadArray::NotUtf8));
    }
    assert_eq!(scan("{\"é😀\":\"漢\",\"ops\":[1]}".as_bytes(), &[1]), Ok(vec!["1".to_owned()]));
    let mut scanner = ArrayScanner::new(10);
    assert_eq!(scanner.feed(b"{\"ops\":[\"12345678\",").unwrap(), ["\"12345678\""]);
    assert_eq!(scanner.feed(b"\"123456789\""), Err(BadArray::TooLong(10)));
}
