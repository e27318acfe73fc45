//! Passwords: Argon2id version 1.3 (RFC 9106) in PHC strings (PWD-01). Slow on purpose: callers run these
//! functions on a thread that may block.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        PasswordHasher as _,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
use ferry_types::{
    Error, Reason, Result,
    limits::{PASSWORD_MAX_BYTES, PASSWORD_MIN_CHARS},
};

/// Bytes of salt that [`Hasher::hash`] takes; they must be random.
pub const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// Hashes and verifies with fixed parameters.
#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    params: Params,
    dummy: String,
    /// Memory of verifications, kept for the next ones: a third of the time of one in fresh memory goes into getting
    /// that memory. There are never more than verifications that ran at once.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMatch {
    /// Another password.
    Wrong,
    /// The password, hashed with today's parameters.
    Right,
    /// The password, but hashed with other parameters: store a new hash.
    RightButOld,
}

/// The parameters are not such as Argon2 accepts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("argon2_memory_kib must be at least 8 per lane, argon2_iterations and argon2_parallelism at least 1")]
pub struct BadParams;

impl Hasher {
    /// A hasher with this memory in KiB, passes over it, and lanes.
    ///
    /// # Errors
    /// When Argon2 does not accept them.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, BadParams> {
        let params =
            Params::new(memory_kib, iterations, parallelism, Some(OUTPUT_BYTES)).map_err(|_| BadParams)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        // Costs what a real hash costs to verify. No password is known that hashes to zeros, and finding one
        // means breaking Argon2.
        let dummy = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(|_| BadParams)?,
            salt: Some(Salt::new(&[0; SALT_BYTES]).map_err(|_| BadParams)?),
            hash: Some(Output::new(&[0; OUTPUT_BYTES]).map_err(|_| BadParams)?),
        };
        Ok(Self { argon2, params, dummy: dummy.to_string(), memory: Arc::default() })
    }

    /// The PHC string of `password`.
    ///
    /// # Errors
    /// Internal, if the machine lacks the memory.
    pub fn hash(&self, password: &str, salt: [u8; SALT_BYTES]) -> Result<String> {
        let hash: PasswordHash =
            self.argon2.hash_password_with_salt(password.as_bytes(), &salt).map_err(|_| Error::internal())?;
        Ok(hash.to_string())
    }

    /// Verifies `password` against `stored`, with the parameters that `stored` names. Without a stored hash
    /// the same work is done against a dummy, so that a caller learns nothing from the time it takes (PWD-03).
    #[must_use]
    pub fn verify(&self, password: &str, stored: Option<&str>) -> PasswordMatch {
        // Longer ones cannot have been set; they still cost one verification, and no more than that.
        let usable = password.len() <= PASSWORD_MAX_BYTES;
        let parsed = stored.filter(|_| usable).and_then(|text| PasswordHash::new(text).ok());
        let (hash, known) = match parsed {
            Some(hash) => (hash, true),
            None => (PasswordHash::new(&self.dummy).expect("BUG: the dummy is a PHC string"), false),
        };
        let password = if usable { password.as_bytes() } else { &[] };
        let matches = self.recompute(password, &hash).is_some_and(|output| hash.hash == Some(output));
        if !known || !matches {
            return PasswordMatch::Wrong;
        }
        let same = Params::try_from(&hash).is_ok_and(|params| {
            (params.m_cost(), params.t_cost(), params.p_cost())
                == (self.params.m_cost(), self.params.t_cost(), self.params.p_cost())
        });
        if same && hash.algorithm == Algorithm::Argon2id.ident() {
            PasswordMatch::Right
        } else {
            PasswordMatch::RightButOld
        }
    }

    /// The output for `password` with the salt and parameters of `hash`; `None` if these are none of Argon2.
    /// Outputs are compared in constant time.
    fn recompute(&self, password: &[u8], hash: &PasswordHash) -> Option<Output> {
        let (salt, stored) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = hash.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
        let params = Params::try_from(hash).ok()?;
        let mut memory = self.lock().pop().unwrap_or_default();
        memory.resize(params.block_count(), Block::new());
        let mut output = vec![0; stored.len()];
        let computed = Argon2::new(algorithm, version, params)
            .hash_password_into_with_memory(password, salt.as_ref(), &mut output, &mut memory)
            .is_ok();
        // What another hash demanded beyond our own parameters is given back.
        memory.truncate(self.params.block_count());
        memory.shrink_to(self.params.block_count());
        self.lock().push(memory);
        if computed { Output::new(&output).ok() } else { None }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks a password that someone wants to set (PWD-02). Nothing is normalised.
///
/// # Errors
/// [`Reason::InvalidArgument`] when it is too short or too long.
pub fn check_new(password: &str) -> Result<()> {
    let chars = password.chars().count();
    if chars < PASSWORD_MIN_CHARS {
        let message = format!("password too short ({chars} chars, need {PASSWORD_MIN_CHARS})");
        return Err(Error::new(Reason::InvalidArgument, message));
    }
    if password.len() > PASSWORD_MAX_BYTES {
        let message = format!("password too long ({} bytes, at most {PASSWORD_MAX_BYTES})", password.len());
        return Err(Error::new(Reason::InvalidArgument, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher() -> Hasher {
        Hasher::new(64, 1, 1).unwrap()
    }

    // Verifies: PWD-01
    #[test]
    fn hashes_are_argon2id_phc_strings() {
        let hash = Hasher::new(19_456, 2, 1).unwrap().hash("correct horse", [7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(Hasher::new(1, 1, 1).err(), Some(BadParams));
    }

    // Verifies: PWD-01
    #[test]
    fn older_parameters_verify_and_ask_for_a_new_hash() {
        let old = Hasher::new(32, 1, 1).unwrap().hash("correct horse", [7; 16]).unwrap();
        let new = hasher().hash("correct horse", [8; 16]).unwrap();
        assert_eq!(hasher().verify("correct horse", Some(&old)), PasswordMatch::RightButOld);
        assert_eq!(hasher().verify("correct horse", Some(&new)), PasswordMatch::Right);
        assert_eq!(hasher().verify("wrong horse", Some(&new)), PasswordMatch::Wrong);
        assert_eq!(hasher().verify("wrong horse", Some(&old)), PasswordMatch::Wrong);
    }

    // Verifies: PWD-03
    #[test]
    fn without_a_hash_nothing_matches() {
        assert_eq!(hasher().verify("correct horse", None), PasswordMatch::Wrong);
        assert_eq!(hasher().verify("", None), PasswordMatch::Wrong);
        assert_eq!(hasher().verify("correct horse", Some("not a hash")), PasswordMatch::Wrong);
        assert_eq!(hasher().verify(&"x".repeat(1025), None), PasswordMatch::Wrong);
    }

    // Verifies: PWD-02
    #[test]
    fn the_length_of_new_passwords_is_limited() {
        assert_eq!(check_new("sevench").unwrap_err().message, "password too short (7 chars, need 8)");
        assert_eq!(check_new("").unwrap_err().message, "password too short (0 chars, need 8)");
        assert!(check_new("eightchr").is_ok());
        assert!(check_new("üüüüüüüü").is_ok(), "characters count, not bytes");
        assert!(check_new(&"x".repeat(1024)).is_ok());
        assert!(check_new(&"x".repeat(1025)).is_err());
    }
}
