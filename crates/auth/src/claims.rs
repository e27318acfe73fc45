//! What the signed identifier of a Ferry macaroon states (control.md, 3.2): the version byte 0x01, then the
//! protobuf message `ferry.auth.v1.TokenClaims`. All authority lives here; caveats only narrow it (TOK-01).

use buffa::Message as _;
use ferry_protocol::rpc::ferry::auth::v1 as wire;
use ferry_types::{DatabaseId, Model, ModelSet, Op, OpSet, OrgId, SessionId, TokenId, UserId};

use crate::token_error::TokenError;

/// First byte of the identifier: the version of everything behind it.
const VERSION: u8 = 0x01;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Calling the admin RPCs.
    Session,
    /// Syncing one database.
    Sync,
}

/// What a token's purpose is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A login: the rights are those of the user's memberships.
    Session,
    /// One database, with these models and operations.
    Sync {
        /// The database.
        database_id: DatabaseId,
        /// Its epoch at minting; a higher one since revokes the token.
        database_epoch: u32,
        /// Never empty.
        models: ModelSet,
        /// Never empty.
        ops: OpSet,
    },
}

/// The validated claims of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Name of the key that signed.
    pub kid: u32,
    /// The token itself.
    pub token_id: TokenId,
    /// When it was minted, in Unix seconds.
    pub issued_unix: i64,
    /// Unix second at which it expires, whatever its caveats say (TOK-04).
    pub expires_unix: i64,
    /// Whose token it is.
    pub user_id: UserId,
    /// The user's epoch at minting; a higher one since revokes the token.
    pub user_epoch: u32,
    /// The organisation a session starts in; for a sync token that of its database.
    pub org_id: OrgId,
    /// The login: itself for a session, the minting one for a sync token.
    pub session_id: SessionId,
    /// What it is for.
    pub grant: Grant,
}

impl Claims {
    /// What the token is for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        match self.grant {
            Grant::Session => Purpose::Session,
            Grant::Sync { .. } => Purpose::Sync,
        }
    }

    /// The identifier that is signed.
    #[must_use]
    pub fn to_identifier(&self) -> Vec<u8> {
        let mut message = wire::TokenClaims {
            kid: self.kid,
            purpose: match self.purpose() {
                Purpose::Session => wire::Purpose::Session,
                Purpose::Sync => wire::Purpose::Sync,
            }
            .into(),
            token_id: self.token_id.0.to_vec(),
            issued_unix: self.issued_unix,
            expires_unix: self.expires_unix,
            user_id: self.user_id.to_string(),
            user_epoch: self.user_epoch,
            org_id: self.org_id.to_string(),
            session_id: self.session_id.to_string(),
            ..Default::default()
        };
        if let Grant::Sync { database_id, database_epoch, models, ops } = &self.grant {
            message.database_id = database_id.to_string();
            message.database_epoch = *database_epoch;
            message.models = models.iter().map(|model| model.as_str().to_owned()).collect();
            message.ops = ops.iter().map(|op| op.as_str().to_owned()).collect();
        }
        let mut identifier = vec![VERSION];
        identifier.extend(message.encode_to_vec());
        identifier
    }

    /// Reads an identifier. Trust the result only once its signature is verified.
    ///
    /// # Errors
    /// [`TokenError::Version`] for another version byte, [`TokenError::Claims`] if the claims are not such as
    /// [`Self::to_identifier`] writes.
    pub fn from_identifier(identifier: &[u8]) -> Result<Self, TokenError> {
        let (version, bytes) = identifier.split_first().ok_or(TokenError::Claims)?;
        if *version != VERSION {
            return Err(TokenError::Version);
        }
        let message = wire::TokenClaims::decode_from_slice(bytes).map_err(|_| TokenError::Claims)?;
        Self::from_message(&message).ok_or(TokenError::Claims)
    }

    fn from_message(message: &wire::TokenClaims) -> Option<Self> {
        let grant = if message.purpose == wire::Purpose::Session {
            let bare = message.database_id.is_empty() && message.models.is_empty() && message.ops.is_empty();
            bare.then_some(Grant::Session)?
        } else if message.purpose == wire::Purpose::Sync {
            Grant::Sync {
                database_id: message.database_id.parse().ok()?,
                database_epoch: message.database_epoch,
                models: words::<Model, ModelSet>(&message.models)?,
                ops: words::<Op, OpSet>(&message.ops)?,
            }
        } else {
            return None;
        };
        Some(Self {
            kid: message.kid,
            token_id: TokenId(message.token_id.as_slice().try_into().ok()?),
            issued_unix: message.issued_unix,
            expires_unix: message.expires_unix,
            user_id: message.user_id.parse().ok()?,
            user_epoch: message.user_epoch,
            org_id: message.org_id.parse().ok()?,
            session_id: message.session_id.parse().ok()?,
            grant,
        })
    }
}

/// A non-empty list of known words as a set.
fn words<T: std::str::FromStr, S: FromIterator<T>>(list: &[String]) -> Option<S> {
    if list.is_empty() {
        return None;
    }
    list.iter().map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(purpose: Purpose) -> Claims {
        let grant = match purpose {
            Purpose::Session => Grant::Session,
            Purpose::Sync => Grant::Sync {
                database_id: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
                database_epoch: 3,
                models: ModelSet::ALL,
                ops: OpSet::of(&[Op::Read, Op::Write]),
            },
        };
        Claims {
            kid: 7,
            token_id: TokenId([9; 16]),
            issued_unix: 1_000,
            expires_unix: 2_000,
            user_id: "u_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            user_epoch: 2,
            org_id: "o_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            session_id: "s_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            grant,
        }
    }

    #[test]
    fn claims_survive_the_identifier() {
        for purpose in [Purpose::Session, Purpose::Sync] {
            let claims = sample(purpose);
            assert_eq!(Claims::from_identifier(&claims.to_identifier()), Ok(claims));
        }
    }

    // Verifies: TOK-02
    #[test]
    fn other_versions_and_broken_claims_are_refused() {
        let mut newer = sample(Purpose::Sync).to_identifier();
        newer[0] = 2;
        assert_eq!(Claims::from_identifier(&newer), Err(TokenError::Version));
        assert_eq!(Claims::from_identifier(&[]), Err(TokenError::Claims));
        assert_eq!(Claims::from_identifier(&[1]), Err(TokenError::Claims), "no purpose, no ids");
        let broken: [fn(&mut wire::TokenClaims); 6] = [
            |claims| claims.token_id.truncate(15),
            |claims| claims.ops = vec!["root".into()],
            |claims| claims.ops.clear(),
            |claims| claims.models.clear(),
            |claims| claims.database_id = "db_1".into(),
            |claims| claims.purpose = wire::Purpose::Session.into(),
        ];
        for breaking in broken {
            let good = sample(Purpose::Sync).to_identifier();
            let mut message = wire::TokenClaims::decode_from_slice(&good[1..]).unwrap();
            breaking(&mut message);
            let mut identifier = vec![VERSION];
            identifier.extend(message.encode_to_vec());
            assert_eq!(Claims::from_identifier(&identifier), Err(TokenError::Claims), "{message:?}");
        }
    }
}
