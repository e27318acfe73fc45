//! Files of a template as they are written: names, and what is filled in.

use super::wishes::Wishes;
use crate::project::settings::AuthMode;

/// Where `ferry dev` listens.
const DEV_URL: &str = "http://127.0.0.1:8787";
/// Files whose names begin with a dot, which npm and editors would not leave alone in a template.
const DOTTED: [&str; 3] = ["gitignore", "env", "npmrc"];

/// What is filled in for `{{name}}` and so on.
#[derive(Clone, Debug)]
pub(super) struct Names {
    name: String,
    title: String,
    pub(super) dir: String,
    pub(super) version: &'static str,
    auth: AuthMode,
}

impl Names {
    pub(super) fn of(wishes: &Wishes, dir: &str) -> Self {
        let title = title(&wishes.name);
        let version = env!("CARGO_PKG_VERSION");
        Self { name: wishes.name.clone(), title, dir: dir.to_owned(), version, auth: wishes.auth }
    }

    /// A file's content with everything filled in; what is no text stays.
    pub(super) fn filled(&self, content: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(content) else { return content.to_vec() };
        let all = [
            ("{{name}}", &*self.name),
            ("{{title}}", &*self.title),
            ("{{dir}}", &*self.dir),
            ("{{version}}", self.version),
            ("{{url}}", DEV_URL),
            ("{{auth}}", self.auth.as_str()),
        ];
        let filled = all.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value));
        filled.into_bytes()
    }
}

/// `my-app` for people: `My app`.
fn title(name: &str) -> String {
    let words = name.replace(['-', '_', '.'], " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The path of a template's file in a project: `_package.json` is `package.json`, `_gitignore` is `.gitignore`.
pub(super) fn written_path(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    let name = match name.strip_prefix('_') {
        Some(name) if DOTTED.contains(&name) => format!(".{name}"),
        Some(name) => name.to_owned(),
        None => name.to_owned(),
    };
    if folder.is_empty() { name } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_template_become_those_of_a_project() {
        let names = ["_package.json", "_gitignore", "ferry/_env", "src/main.ts"].map(written_path);
        assert_eq!(names, ["package.json", ".gitignore", "ferry/.env", "src/main.ts"]);
        assert_eq!(title("my-first_app"), "My first app");
    }
}
