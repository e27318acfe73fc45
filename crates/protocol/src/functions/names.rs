//! Names of tables on the wire.

/// How clients know a table: djb2 over the UTF-16 units of its name, in base 36 (functions specification, 2.2).
#[must_use]
pub fn table_hash(name: &str) -> String {
    let hash =
        name.encode_utf16().fold(5381_u32, |hash, unit| hash.wrapping_mul(33).wrapping_add(unit.into()));
    base36(hash)
}

/// The hashes of several tables, in their order, each once.
#[must_use]
pub fn table_hashes<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let mut hashes = Vec::new();
    for name in names {
        let hash = table_hash(name);
        if !hashes.contains(&hash) {
            hashes.push(hash);
        }
    }
    hashes
}

fn base36(mut value: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(value % 36, 36).expect("BUG: a remainder by 36 is a digit"));
        value /= 36;
        if value == 0 {
            return digits.iter().rev().collect();
        }
    }
}
