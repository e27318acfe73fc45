//! Black-box tests: they start the real `ferry` binary and speak to it over the wire. What a test proves stands
//! in its `// Verifies:` line; the IDs are listed in `tests/requirements.txt`.

mod tidy;

/// The program under test.
#[expect(dead_code, reason = "the first test to start it takes this away")]
const FERRY: &str = env!("CARGO_BIN_EXE_ferry");
