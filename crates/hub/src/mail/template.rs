//! A text with places for words: `{{name}}`. Words are data: they bring neither markup nor lines of a header.

use std::collections::BTreeMap;

/// Largest file of a template.
pub(super) const TEMPLATE_MAX_BYTES: usize = 64 * 1024;
/// Longest subject as written, and longest word in one.
const SUBJECT_MAX_CHARS: usize = 200;
const WORD_MAX_CHARS: usize = 80;

/// What a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markup {
    /// Plain text.
    None,
    /// HTML.
    Html,
}

/// Text, and names of words.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Word(String),
}

/// A subject and a text, each with places for words.
#[derive(Clone, Debug)]
pub(super) struct Template {
    subject: Vec<Part>,
    body: Vec<Part>,
    markup: Markup,
}

/// What is wrong with a template, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TemplateFault {
    pub(super) line: usize,
    pub(super) text: String,
}

fn fault(line: usize, text: impl Into<String>) -> TemplateFault {
    TemplateFault { line, text: text.into() }
}

impl Template {
    /// Reads a template that may name `words`.
    pub(super) fn parse(bytes: &[u8], markup: Markup, words: &[&str]) -> Result<Self, TemplateFault> {
        if bytes.len() > TEMPLATE_MAX_BYTES {
            return Err(fault(1, format!("longer than {TEMPLATE_MAX_BYTES} bytes: shorten it")));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            fault(line, "not UTF-8: save it as such")
        })?;
        let text = text.replace("\r\n", "\n");
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let subject = first.strip_prefix("Subject:").map(str::trim).unwrap_or_default();
        if subject.is_empty() {
            return Err(fault(1, "the first line must be Subject: and what the mail is about"));
        }
        if subject.chars().count() > SUBJECT_MAX_CHARS {
            return Err(fault(1, format!("a subject has at most {SUBJECT_MAX_CHARS} characters")));
        }
        if let Some(at) = text.find(|c: char| c.is_control() && c != '\n' && c != '\t') {
            return Err(fault(1 + text[..at].matches('\n').count(), "a control character: remove it"));
        }
        Ok(Self { subject: parts(subject, 1, words)?, body: parts(rest, 2, words)?, markup })
    }

    /// Whether the text names one of these words.
    pub(super) fn names(&self, words: &[&str]) -> bool {
        self.body.iter().any(|part| matches!(part, Part::Word(name) if words.contains(&name.as_str())))
    }

    /// The subject as it is written.
    pub(super) fn has_subject_of(&self, other: &Self) -> bool {
        self.subject == other.subject
    }

    /// The subject with its words, on one line.
    pub(super) fn subject(&self, words: &BTreeMap<String, String>) -> String {
        // What looks like an encoded word would be decoded by whoever shows it (RFC 2047).
        let plain = |word: &str| word.chars().take(WORD_MAX_CHARS).collect::<String>().replace("=?", "= ?");
        filled(&self.subject, words, plain)
    }

    /// The text with its words.
    pub(super) fn body(&self, words: &BTreeMap<String, String>) -> String {
        let body = filled(&self.body, words, |word| match self.markup {
            Markup::None => word.to_owned(),
            Markup::Html => escaped(word),
        });
        body.trim_start_matches('\n').to_owned()
    }
}

fn parts(text: &str, first_line: usize, words: &[&str]) -> Result<Vec<Part>, TemplateFault> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, first_line);
    while let Some((before, after)) = rest.split_once("{{") {
        line += before.matches('\n').count();
        let open = after.split_once("}}").filter(|(name, _)| !name.contains(['\n', '{']));
        let (name, behind) = open.ok_or_else(|| fault(line, "{{ without }} on the same line"))?;
        let name = name.trim();
        if !words.contains(&name) {
            let known = words.iter().map(|word| format!("{{{{{word}}}}}")).collect::<Vec<_>>().join(", ");
            return Err(fault(line, format!("unknown placeholder {{{{{name}}}}}: this mail knows {known}")));
        }
        found.push(Part::Text(before.to_owned()));
        found.push(Part::Word(name.to_owned()));
        rest = behind;
    }
    found.push(Part::Text(rest.to_owned()));
    Ok(found)
}

fn filled(parts: &[Part], words: &BTreeMap<String, String>, write: impl Fn(&str) -> String) -> String {
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Word(name) => write(&tame(words.get(name).map_or("", String::as_str))),
        })
        .collect()
}

/// A word on one line: no control characters, no marks that turn the direction of what follows.
fn tame(word: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    word.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

fn escaped(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for c in word.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect()
    }

    // Verifies: OPR-94
    #[test]
    fn words_bring_no_markup_and_no_lines() {
        let text = b"Subject: Hi {{ who }}\n<p title=\"{{who}}\">{{who}}</p>\n";
        let template = Template::parse(text, Markup::Html, &["who"]).unwrap();
        let evil = words(&[("who", "\"><script>\r\nBcc: x@y 'a' & {{who}}\u{202e}")]);
        assert_eq!(template.subject(&evil), "Hi \"><script>  Bcc: x@y 'a' & {{who}} ");
        let body = template.body(&evil);
        assert!(
            !body.contains('\r') && body.matches('\n').count() == 1 && !body.contains("<script"),
            "{body}"
        );
        assert!(body.contains("&quot;&gt;&lt;script&gt;  Bcc: x@y &#39;a&#39; &amp; {{who}}"), "{body}");
        let plain = Template::parse(text, Markup::None, &["who"]).unwrap();
        assert_eq!(plain.body(&words(&[("who", "a & b")])), "<p title=\"a & b\">a & b</p>\n");
        let encoded = words(&[("who", "=?utf-8?q?=E2=80=AE?=")]);
        assert!(!template.subject(&encoded).contains("=?"), "{}", template.subject(&encoded));
        let long = words(&[("who", &"x".repeat(1000))]);
        assert_eq!(plain.subject(&long).len(), 83);
    }

    // Verifies: OPR-94
    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let parse =
            |text: &[u8]| Template::parse(text, Markup::None, &["link", "hub"]).map(|_| ()).unwrap_err();
        for (text, line, told) in [
            (&b"Hello\n{{link}}"[..], 1, "Subject:"),
            (b"", 1, "Subject:"),
            (b"Subject:  \n{{link}}", 1, "Subject:"),
            (b"Subject: {{lnk}}\nx", 1, "unknown placeholder {{lnk}}: this mail knows {{link}}, {{hub}}"),
            (b"Subject: a\n\nb\n{{ nope }}", 4, "unknown placeholder {{nope}}"),
            (b"Subject: a\nb\nc {{link\n}}", 3, "without }}"),
            (b"Subject: a\nb {{", 2, "without }}"),
            (b"Subject: a\nb\n\xff", 3, "UTF-8"),
            (b"Subject: a\rBcc: b\nc", 1, "control character"),
            (b"Subject: a\nb\n\x07", 3, "control character"),
        ] {
            let fault = parse(text);
            assert_eq!(fault.line, line, "{fault:?}");
            assert!(fault.text.contains(told), "{fault:?}");
        }
        let long = [b"Subject: a\n".to_vec(), vec![b'x'; TEMPLATE_MAX_BYTES]].concat();
        assert!(parse(&long).text.contains("shorten"));
        assert!(parse(format!("Subject: {}\n", "x".repeat(201)).as_bytes()).text.contains("200"));
    }
}
