//! Macaroons on the wire: version 2 binary, base64. The crate `libmacaroon` holds the format and the HMAC
//! chain; this module keeps everything else that it would accept out (version 1, JSON, third-party caveats).

use std::sync::Arc;

use base64::{
    Engine as _,
    alphabet::{self, Alphabet},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ferry_types::limits::{CAVEAT_MAX_BYTES, TOKEN_MAX_BYTES, TOKEN_MAX_CAVEATS};
use libmacaroon::{Format, Macaroon, MacaroonKey};

use crate::{
    budget::{self, ByteBudget},
    caveat::Caveat,
    claims::Claims,
    keyring::{KeyRing, SigningKey},
    token_error::TokenError,
};

/// Where Ferry's macaroons say they come from.
const LOCATION: &str = "ferry";
/// First byte of the version 2 binary form. Version 1 begins with a hex digit, JSON with a brace.
const V2: u8 = 0x02;

const fn lenient(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}
const URL_SAFE: GeneralPurpose = lenient(&alphabet::URL_SAFE);
const STANDARD: GeneralPurpose = lenient(&alphabet::STANDARD);

/// A well-formed token whose signature nobody has checked yet.
pub struct Unverified {
    macaroon: Macaroon,
    /// What it claims.
    pub(crate) claims: Claims,
}

/// Signs `claims` with `key` and appends `caveats`.
///
/// # Errors
/// [`TokenError::TooLong`] when the token would exceed what [`decode`] accepts.
pub fn mint(key: &SigningKey, claims: &Claims, caveats: &[Caveat]) -> Result<String, TokenError> {
    let key = MacaroonKey::from(key.bytes());
    let macaroon =
        Macaroon::create(Some(LOCATION), &key, claims.to_identifier()).map_err(|_| TokenError::TooLong)?;
    append(macaroon, caveats)
}

/// Appends `caveats` to a token. Needs no key: anyone who holds a token may narrow it.
///
/// # Errors
/// When `token` is no Ferry macaroon, or would become too long.
pub fn attenuate(token: &str, caveats: &[Caveat]) -> Result<String, TokenError> {
    append(decode(token)?.macaroon, caveats)
}

fn append(mut macaroon: Macaroon, caveats: &[Caveat]) -> Result<String, TokenError> {
    if macaroon.caveats().len() + caveats.len() > TOKEN_MAX_CAVEATS {
        return Err(TokenError::TooLong);
    }
    for caveat in caveats {
        macaroon.add_first_party_caveat(caveat.to_string()).map_err(|_| TokenError::TooLong)?;
    }
    let padded = macaroon.serialize(Format::V2).map_err(|_| TokenError::TooLong)?;
    let text = padded.trim_end_matches('=').to_owned();
    decode_base64(&text)?;
    Ok(text)
}

fn decode_base64(text: &str) -> Result<Vec<u8>, TokenError> {
    // Four characters carry three bytes; nothing longer is even looked at.
    if text.len() > TOKEN_MAX_BYTES.div_ceil(3) * 4 {
        return Err(TokenError::TooLong);
    }
    let url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { URL_SAFE } else { STANDARD };
    let bytes = engine.decode(text).map_err(|_| TokenError::Malformed)?;
    if bytes.len() > TOKEN_MAX_BYTES {
        return Err(TokenError::TooLong);
    }
    Ok(bytes)
}

/// Reads a token: base64 (URL-safe or standard, padded or not) of a version 2 macaroon with first-party
/// caveats only.
///
/// # Errors
/// When it is too long or anything else than that.
pub fn decode(token: &str) -> Result<Unverified, TokenError> {
    let bytes = decode_base64(token)?;
    if bytes.first() != Some(&V2) {
        return Err(TokenError::Malformed);
    }
    let macaroon = Macaroon::deserialize_binary(&bytes).map_err(|_| TokenError::Malformed)?;
    if macaroon.caveats().len() > TOKEN_MAX_CAVEATS {
        return Err(TokenError::TooLong);
    }
    if macaroon.caveats().iter().any(|caveat| caveat.as_first_party().is_none()) {
        return Err(TokenError::ThirdParty);
    }
    let claims = Claims::from_identifier(macaroon.identifier())?;
    Ok(Unverified { macaroon, claims })
}

impl Unverified {
    /// What it claims; nobody has checked that it is true.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Checks the signature with the keys of the ring that carry the token's `kid`.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`] or [`TokenError::Signature`].
    pub(crate) fn check_signature(&self, ring: &KeyRing) -> Result<(), TokenError> {
        let mut known = false;
        for key in ring.called(self.claims.kid) {
            known = true;
            if self.is_signed_by(key) {
                return Ok(());
            }
        }
        Err(if known { TokenError::Signature } else { TokenError::UnknownKey })
    }

    /// Builds the HMAC chain anew and compares its end, in constant time (`MacaroonKey`'s equality).
    fn is_signed_by(&self, key: &SigningKey) -> bool {
        let key = MacaroonKey::from(key.bytes());
        let Ok(mut expected) = Macaroon::create(None, &key, self.macaroon.identifier()) else { return false };
        for predicate in self.predicates() {
            if expected.add_first_party_caveat(predicate).is_err() {
                return false;
            }
        }
        expected.signature() == self.macaroon.signature()
    }

    fn predicates(&self) -> impl Iterator<Item = &[u8]> {
        // All of them: `decode` lets no third-party caveat in.
        self.macaroon.caveats().iter().filter_map(|caveat| Some(caveat.as_first_party()?.predicate()))
    }

    /// The token's caveats, in order.
    ///
    /// # Errors
    /// [`TokenError::Caveat`] for what is not of the vocabulary.
    pub fn caveats(&self) -> Result<Vec<Caveat>, TokenError> {
        let parse = |predicate: &[u8]| {
            if predicate.len() > CAVEAT_MAX_BYTES {
                return Err(TokenError::TooLong);
            }
            let text = std::str::from_utf8(predicate).map_err(|_| TokenError::Malformed)?;
            text.parse().map_err(TokenError::Caveat)
        };
        self.predicates().map(parse).collect()
    }

    /// The daily budgets that its caveats set, given those caveats.
    pub(crate) fn byte_budgets(&self, caveats: &[Caveat]) -> Option<Arc<[ByteBudget]>> {
        let budgets = budget::of_token(self.macaroon.identifier(), self.predicates().zip(caveats));
        if budgets.is_empty() { None } else { Some(budgets.into()) }
    }
}
