//! Logging in through a provider. This hub knows the providers' names and does not speak to them (OAU-01).

use ferry_types::{Error, Reason, Result};

use super::{Control, Origin, limiter::Counted};

impl Control {
    /// Begins a login at a provider.
    ///
    /// # Errors
    /// Always: invalid argument for an unknown provider, unimplemented for a known one.
    pub fn start_oauth(&self, provider: &str, origin: &Origin) -> Result<(String, String)> {
        self.rates.charge(Counted::OAuth(origin.ip.into()), self.now())?;
        match provider {
            "github" | "google" => Err(not_configured(provider)),
            _ => Err(Error::new(Reason::InvalidArgument, "provider must be github or google")),
        }
    }

    /// Completes a login at a provider.
    ///
    /// # Errors
    /// Always: unimplemented, since none can have been started.
    pub fn complete_oauth(&self, origin: &Origin) -> Result<super::Session> {
        self.rates.charge(Counted::OAuth(origin.ip.into()), self.now())?;
        Err(not_configured("a provider"))
    }
}

fn not_configured(provider: &str) -> Error {
    let message = format!(
        "login with {provider} is not configured on this hub: it needs the client id and secret \
         (github_client_id, github_client_secret or google_client_id, google_client_secret) and \
         oauth_redirect_base; use a password instead"
    );
    Error::new(Reason::Unimplemented, message)
}
