//! `ferry jwt`.

use ferry_testkit::{
    command::Ferry,
    jwt::{EC, ED, OTHER_ED, key_set},
    wait,
};
use serde_json::{Value, json};

use crate::support::{FERRY, hub};

/// A private key that no other test has.
const OTHER_PRIVATE_KEY: &str = r#"{"kty": "EC", "crv": "P-256", "d": "4Gcn-9WY55QG72XpRIiCJJ98kFB-6HRZTOKOJh2zTXM", "x": "ak_Eo4bHilZtDxpKG7wYxa4v--47kOz7DKGRQdoSDbg", "y": "pi8jiJ9RGvtAi1U1V8h-28UK2mJpBazODn_c9014vUU"}"#;

// Verifies: JWT-03, CLI-02
#[test]
fn settings_are_set_shown_tried_and_removed() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    let created = ferry.ok(&["db", "create", "notes"]);
    let id = created.split('\t').next().unwrap();
    std::fs::write(ferry.file("keys.json"), key_set(&[ED]).to_string()).unwrap();
    let output = ferry.run(&["jwt", "show", "notes"]);
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.trim()),
        (Some(0), "", "(no JWT settings)")
    );
    let set = [
        "jwt",
        "set",
        "notes",
        "--issuer",
        "https://id.example",
        "--audience",
        "notes",
        "--jwks-file",
        "keys.json",
    ];
    assert_eq!(ferry.ok(&set), format!("set {id}\n"));
    let shown = ferry.ok(&["jwt", "show", "notes"]);
    assert!(shown.contains("leeway_seconds: 5\n"), "what counts, not the 0 that stands for it: {shown}");
    assert!(
        shown.contains("issuer: https://id.example\naudiences: notes\nalgorithms: EdDSA,ES256,RS256\n"),
        "{shown}"
    );

    let exp = wait::unix_seconds() + 600;
    let claims = json!({"iss": "https://id.example", "sub": "ada", "aud": ["notes"], "exp": exp});
    let (good, bad) = (ED.token(&claims), OTHER_ED.token(&claims));
    assert_eq!(ferry.clone().input(&good).ok(&["jwt", "test", "notes"]), format!("ok\tada\t{}\n", exp + 5));
    let error = ferry.clone().input(&bad).fails(1, &["jwt", "test", "notes", "-"]);
    assert!(error.contains("this JWT is refused: no key of the issuer fits"), "{error}");
    let trial: Value =
        serde_json::from_str(&ferry.clone().input(&bad).ok(&["jwt", "test", "notes", "--json"])).unwrap();
    assert_eq!(
        (trial["ok"].as_bool().unwrap_or(false), trial["reason"].as_str().unwrap_or("").is_empty()),
        (false, false)
    );

    assert!(
        ferry
            .fails(
                9,
                &["jwt", "set", "notes", "--issuer", "x", "--audience", "notes", "--jwks-url", "http://x/"]
            )
            .contains("jwks_url")
    );
    ferry.fails(2, &["jwt", "set", "notes", "--issuer", "x", "--audience", "notes"]);
    ferry.fails(2, &["jwt", "set", "notes", "--audience", "notes", "--jwks-file", "keys.json"]);
    assert_eq!(ferry.ok(&["jwt", "remove", "notes"]), format!("removed {id}\n"));
    assert!(ferry.run(&["jwt", "show", "notes"]).stderr.contains("(no JWT settings)"));
}

// Verifies: FUN-54
#[test]
fn keys_of_a_database_are_imported_and_rotated_and_never_replaced() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    let error = ferry.fails(6, &["jwt", "rotate", "app"]);
    assert!(error.contains("auth mode local"), "{error}");
    std::fs::write(ferry.file("key.json"), EC.private_jwk().to_string()).unwrap();
    assert_eq!(ferry.ok(&["jwt", "import", "app", "key.json"]), "edgepod-local-key\n");
    let again = ferry.clone().input(&EC.private_jwk().to_string());
    assert_eq!(again.ok(&["jwt", "import", "app", "-", "--json"]), "{\"kid\":\"edgepod-local-key\"}\n");
    assert_eq!(ferry.ok(&["jwt", "rotate", "app"]), "fk_1\n");
    let other = ferry.clone().input(OTHER_PRIVATE_KEY);
    let error = other.fails(6, &["jwt", "import", "app", "-"]);
    assert!(error.contains("no key is ever replaced"), "{error}");
    std::fs::write(ferry.file("public.json"), EC.jwk().to_string()).unwrap();
    let error = ferry.fails(9, &["jwt", "import", "app", "public.json"]);
    assert!(error.contains("private JSON Web Key"), "{error}");
    std::fs::write(ferry.file("torn.json"), "{\"d\":\"hush").unwrap();
    let error = ferry.fails(2, &["jwt", "import", "app", "torn.json"]);
    assert!(
        error.contains("torn.json: expected a private JSON Web Key") && !error.contains("hush"),
        "{error}"
    );
}
