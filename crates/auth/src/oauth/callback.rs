//! Where a provider sends the browser back to: what its query holds, and what the person is shown (OAU-05, OAU-06).

/// How much of a provider's words the log takes.
const CAUSE_MAX_CHARS: usize = 300;
/// Longest state or code.
const VALUE_MAX_BYTES: usize = 512;

/// What a browser brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Names the login.
    pub state: String,
    /// What the provider gives tokens for.
    pub code: String,
}

/// Why a browser brought nothing that can be used back. The texts go to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCallback {
    /// The provider says that the login failed.
    #[error("the provider did not log you in: start again in your terminal")]
    Refused,
    /// A value is missing or stands twice.
    #[error("this address needs one state and one code: start again in your terminal")]
    Missing,
    /// A value holds what no state or code has.
    #[error("state or code hold characters that none has: start again in your terminal")]
    Malformed,
}

/// Whether a state or code may be shown as part of a command: nothing in it means anything to a shell.
#[must_use]
pub fn is_plain(value: &str) -> bool {
    (1..=VALUE_MAX_BYTES).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~/+=-".contains(&byte))
}

/// What the provider says of a login that failed (RFC 6749, section 4.1.2.1), for the log.
#[must_use]
pub fn cause(query: &str) -> Option<String> {
    let parameter = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value)
    };
    let described = parameter("error_description").unwrap_or_default();
    let cause = format!("{:?} {described:?}", parameter("error")?);
    Some(cause.chars().take(CAUSE_MAX_CHARS).collect())
}

impl Callback {
    /// Reads the query of a callback.
    ///
    /// # Errors
    /// When it holds an error, or not exactly one plain state and code.
    pub fn read(query: &str) -> Result<Self, BadCallback> {
        let (mut state, mut code) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match &*name {
                "error" => return Err(BadCallback::Refused),
                "state" => &mut state,
                "code" => &mut code,
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(BadCallback::Missing);
            }
        }
        let (Some(state), Some(code)) = (state, code) else { return Err(BadCallback::Missing) };
        if is_plain(&state) && is_plain(&code) {
            Ok(Self { state, code })
        } else {
            Err(BadCallback::Malformed)
        }
    }

    /// The address on the person's own machine where a client waits (OAU-07).
    #[must_use]
    pub fn loopback_url(&self, port: u16) -> String {
        let endpoint = format!("http://127.0.0.1:{port}/callback");
        super::with_query(&endpoint, &[("state", &self.state), ("code", &self.code)])
    }

    /// The page that tells which command finishes the login; `program` is `ferry` or `edgereplica`.
    #[must_use]
    pub fn page(&self, program: &str) -> String {
        let command = format!(
            "{program} oauth complete {} {}",
            option("--state", &self.state),
            option("--code", &self.code)
        );
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Finish the login</title>\n\
             <style>body{{font-family:sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}}\
             pre{{padding:1rem;background:#eee;white-space:pre-wrap;word-break:break-all}}</style>\n\
             <h1>Almost done</h1>\n\
             <p>Run this command in the terminal where you began the login:</p>\n\
             <pre>{}</pre>\n\
             <p><strong>Warning:</strong> run it only if you began this login yourself, just now, and give it to \
             nobody: it logs in as you.</p>\n</html>\n",
            escaped(&command)
        )
    }
}

/// A value that begins with a dash would be taken for an option of its own.
fn option(name: &str, value: &str) -> String {
    let joint = if value.starts_with('-') { '=' } else { ' ' };
    format!("{name}{joint}{value}")
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OAU-05, OAU-06
    #[test]
    fn only_plain_values_are_shown() {
        let good = Callback::read("code=4%2F0a.b~c&state=00ff&scope=x").unwrap();
        assert_eq!((good.state.as_str(), good.code.as_str()), ("00ff", "4/0a.b~c"));
        let page = good.page("edgereplica");
        assert!(
            page.contains("<pre>edgereplica oauth complete --state 00ff --code 4/0a.b~c</pre>"),
            "{page}"
        );
        assert!(page.contains("Warning"));
        let dash = Callback::read("state=s&code=--x").unwrap();
        assert!(dash.page("ferry").contains("ferry oauth complete --state s --code=--x"));
        assert_eq!(escaped("<a href='\"&'>"), "&lt;a href=&#39;&quot;&amp;&#39;&gt;");
        let long = format!("state=s&code={}", "x".repeat(513));
        for (query, why) in [
            ("", BadCallback::Missing),
            ("state=s", BadCallback::Missing),
            ("code=c", BadCallback::Missing),
            ("state=s&state=t&code=c", BadCallback::Missing),
            ("error=access_denied&state=s&code=c", BadCallback::Refused),
            ("state=s&code=", BadCallback::Malformed),
            ("state=s&code=$(id)", BadCallback::Malformed),
            ("state=s&code=a%60b", BadCallback::Malformed),
            ("state=a;b&code=c", BadCallback::Malformed),
            ("state=s&code=a%0Ab", BadCallback::Malformed),
            ("state=s&code=%C3%A4", BadCallback::Malformed),
            ("state=s&code=<script>", BadCallback::Malformed),
            (&long, BadCallback::Malformed),
        ] {
            assert_eq!(Callback::read(query), Err(why), "{query}");
        }
    }

    // Verifies: OAU-07
    #[test]
    fn the_loopback_address_is_on_this_machine() {
        let callback = Callback { state: "s".into(), code: "a+b/c=".into() };
        assert_eq!(
            callback.loopback_url(49_152),
            "http://127.0.0.1:49152/callback?state=s&code=a%2Bb%2Fc%3D"
        );
    }
}
