//! What each mail says: built in, or from a folder of the operator's (OPR-94).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use ferry_control::MailKind;

use super::{
    message::WrittenMail,
    template::{Markup, Template, TemplateFault},
};

/// The text of a mail, and the same with markup.
#[derive(Clone, Debug)]
struct Pair {
    plain: Template,
    html: Option<Template>,
}

/// The templates of every kind.
#[derive(Clone, Debug)]
pub struct Templates(BTreeMap<MailKind, Pair>);

/// What every mail may name, and what some may.
const COMMON: [&str; 3] = ["hub", "email", "link"];

/// What a mail of this kind may name.
pub(super) fn words_of(kind: MailKind) -> Vec<&'static str> {
    let own: &[&str] = match kind {
        MailKind::Verify => &["code", "valid"],
        MailKind::Invite => &["code", "valid", "inviter", "org", "role"],
        MailKind::Reset => &["code", "valid", "ip"],
        MailKind::Changed => &["what", "ip"],
    };
    [&COMMON[..], own].concat()
}

/// Those that are built in: text, and the same with markup.
const fn built_in(kind: MailKind) -> (&'static str, &'static str) {
    match kind {
        MailKind::Verify => (include_str!("../../mail/verify.txt"), include_str!("../../mail/verify.html")),
        MailKind::Invite => (include_str!("../../mail/invite.txt"), include_str!("../../mail/invite.html")),
        MailKind::Reset => (include_str!("../../mail/reset.txt"), include_str!("../../mail/reset.html")),
        MailKind::Changed => {
            (include_str!("../../mail/changed.txt"), include_str!("../../mail/changed.html"))
        }
    }
}

impl Templates {
    /// Those that are built in.
    ///
    /// # Panics
    /// Never: they are in order.
    #[must_use]
    pub fn built_in() -> Self {
        let pair = |kind| {
            let (plain, html) = built_in(kind);
            let read = Pair::of(kind, plain.as_bytes(), Some(html.as_bytes()));
            (kind, read.expect("BUG: what is built in is in order"))
        };
        Self(MailKind::ALL.into_iter().map(pair).collect())
    }

    /// Those of a folder, and for what stands not there those that are built in. What a folder has of a kind takes the place
    /// of both built-in files.
    ///
    /// # Errors
    /// What is wrong, with file and line.
    pub fn of_folder(folder: &Path) -> Result<Self, String> {
        let mut templates = Self::built_in();
        refuse_strangers(folder)?;
        for kind in MailKind::ALL {
            let path = |ending: &str| folder.join(format!("{}.{ending}", kind.as_str()));
            let (plain_path, html_path) = (path("txt"), path("html"));
            let (plain, html) = (read(&plain_path)?, read(&html_path)?);
            let Some(plain) = plain else {
                if html.is_some() {
                    return Err(format!(
                        "{}: some read no HTML: write {} beside it",
                        html_path.display(),
                        plain_path.display()
                    ));
                }
                continue;
            };
            let read = Pair::of(kind, &plain, html.as_deref()).map_err(
                |(markup, TemplateFault { line, text })| {
                    let path: &PathBuf = if markup == Markup::Html { &html_path } else { &plain_path };
                    format!("{}:{line}: {text}", path.display())
                },
            )?;
            templates.0.insert(kind, read);
        }
        Ok(templates)
    }

    /// A mail with its words.
    ///
    /// # Panics
    /// Never: there is a template of every kind.
    #[must_use]
    pub fn write(&self, kind: MailKind, words: &BTreeMap<String, String>) -> WrittenMail {
        let pair = self.0.get(&kind).expect("BUG: a template of every kind");
        WrittenMail {
            subject: pair.plain.subject(words),
            plain: pair.plain.body(words),
            html: pair.html.as_ref().map(|html| html.body(words)),
        }
    }
}

impl Pair {
    fn of(kind: MailKind, plain: &[u8], html: Option<&[u8]>) -> Result<Self, (Markup, TemplateFault)> {
        let read = |bytes: &[u8], markup| {
            let template =
                Template::parse(bytes, markup, &words_of(kind)).map_err(|fault| (markup, fault))?;
            if kind != MailKind::Changed && !template.names(&["link", "code"]) {
                let text = "it names neither {{link}} nor {{code}}, without which the mail is of no use";
                return Err((markup, TemplateFault { line: 1, text: text.to_owned() }));
            }
            Ok(template)
        };
        let plain = read(plain, Markup::None)?;
        let html = html.map(|html| read(html, Markup::Html)).transpose()?;
        if html.as_ref().is_some_and(|html| !html.has_subject_of(&plain)) {
            let text = format!("a mail has one subject: write the one of {}.txt", kind.as_str());
            return Err((Markup::Html, TemplateFault { line: 1, text }));
        }
        Ok(Self { plain, html })
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// A file that is no template is most likely one whose name is wrong.
fn refuse_strangers(folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_text = path.extension().is_some_and(|ending| ending == "txt" || ending == "html");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if is_text && MailKind::named(stem).is_none() {
            let known = MailKind::ALL.map(MailKind::as_str).join(", ");
            return Err(format!("{}: no mail is called so: there are {known}", path.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_names_every_word_of_its_kind_but_the_code() {
        let templates = Templates::built_in();
        for kind in MailKind::ALL {
            let names = words_of(kind);
            let words = names.iter().map(|name| ((*name).to_owned(), format!("<{name}>"))).collect();
            let WrittenMail { subject, plain, html } = templates.write(kind, &words);
            let html = html.unwrap();
            for name in names.iter().filter(|name| **name != "code") {
                let told = format!("{subject}\n{plain}");
                assert!(told.contains(&format!("<{name}>")), "{kind:?} {name}");
                assert!(format!("{subject}\n{html}").contains(&format!("{name}&gt;")), "{kind:?} {name}");
            }
            assert!(!plain.contains("{{") && !html.contains("{{"));
        }
    }

    // Verifies: OPR-94
    #[test]
    fn a_folder_may_change_some() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let refused = |told: &str| {
            let error = Templates::of_folder(dir.path()).map(|_| ()).unwrap_err();
            assert!(error.contains(told), "{error}");
        };
        fs::write(at("reset.txt"), "Subject: Neu\nHier: {{link}}\n").unwrap();
        fs::write(at("notes.md"), "not a template").unwrap();
        let templates = Templates::of_folder(dir.path()).unwrap();
        let words = [("link".to_owned(), "https://h/_/reset#x".to_owned())].into();
        let written = templates.write(MailKind::Reset, &words);
        assert_eq!(
            (written.subject.as_str(), written.plain.as_str()),
            ("Neu", "Hier: https://h/_/reset#x\n")
        );
        assert_eq!(written.html, None, "what is built in says something else");
        assert!(templates.write(MailKind::Verify, &words).html.is_some());

        fs::write(at("reset.html"), "Subject: New\n{{link}}").unwrap();
        refused("reset.html:1: a mail has one subject");
        fs::write(at("reset.html"), "Subject: Neu\n\n{{inviter}} {{link}}").unwrap();
        refused("reset.html:3: unknown placeholder {{inviter}}");
        fs::remove_file(at("reset.html")).unwrap();
        fs::write(at("reset.txt"), "Subject: Neu\nHier.\n").unwrap();
        refused("reset.txt:1: it names neither {{link}} nor {{code}}");
        fs::remove_file(at("reset.txt")).unwrap();
        fs::write(at("verify.html"), "Subject: x\n{{link}}").unwrap();
        refused("verify.txt beside it");
        fs::rename(at("verify.html"), at("rest.html")).unwrap();
        refused("rest.html: no mail is called so");
        assert!(Templates::of_folder(&at("missing")).unwrap_err().contains("missing"));
    }
}
