//! Whether an SPDX licence expression can be satisfied with licences of a list.

/// `true` if some choice in `expression` needs only licences of `allowed`. Old manifests write `/` for `OR`.
pub(super) fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words, allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut holds = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        holds |= all(words, allowed);
    }
    holds
}

fn all(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut holds = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        holds &= one(words, allowed);
    }
    holds
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let holds = any(words, allowed);
        return words.next() == Some(")") && holds;
    }
    let mut licence = word.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next().unwrap_or(""));
    }
    allowed.contains(&licence.as_str())
}

#[test]
fn expressions_are_judged_by_their_choices() {
    let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"];
    assert!(satisfied("MIT", &allowed));
    assert!(satisfied("GPL-3.0/MIT", &allowed));
    assert!(satisfied("(GPL-3.0 OR MIT) AND Unicode-3.0", &allowed));
    assert!(!satisfied("MIT AND GPL-3.0", &allowed));
    assert!(!satisfied("(MIT OR Apache-2.0) AND GPL-3.0", &allowed));
    assert!(!satisfied("Apache-2.0 WITH LLVM-exception", &allowed));
    assert!(!satisfied("", &allowed));
}
