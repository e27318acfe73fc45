//! Names of this machine.

/// Whether a host, with or without a port, is a name of this machine.
pub(crate) fn is_loopback_host(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port_is_number = port.is_none_or(|port| port.parse::<u16>().is_ok());
    port_is_number && (host.eq_ignore_ascii_case("localhost") || host == "127.0.0.1" || host == "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_pass() {
        for good in ["localhost", "LOCALHOST:1", "127.0.0.1:8787", "[::1]", "[::1]:8787"] {
            assert!(is_loopback_host(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "localhost:evil",
            "::1",
            "[::2]:1",
            "a@localhost",
        ] {
            assert!(!is_loopback_host(bad), "{bad}");
        }
    }
}
