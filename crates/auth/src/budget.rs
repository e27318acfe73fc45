//! Daily byte budgets (TOK-14). The bucket of a `bpd` caveat is the SHA-256 of the token's identifier and all caveats
//! up to this one, so that narrowing a token further opens no new budget: the old caveat keeps its bucket.

use sha2::{Digest as _, Sha256};

use crate::caveat::Caveat;

/// What a token may transfer in one UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteBudget {
    /// Where it is counted.
    pub bucket: [u8; 32],
    /// Bytes received and sent.
    pub bytes_per_day: u64,
}

/// The budgets of a token with this identifier and these caveats, each as it is written and as it was read. A caveat
/// is prefixed by its length, 32 bits big-endian.
pub(crate) fn of_token<'a>(
    identifier: &[u8],
    caveats: impl Iterator<Item = (&'a [u8], &'a Caveat)>,
) -> Vec<ByteBudget> {
    let mut hash = Sha256::new_with_prefix(identifier);
    let mut budgets = Vec::new();
    for (text, caveat) in caveats {
        let length = u32::try_from(text.len()).expect("BUG: a caveat has at most 512 bytes");
        hash.update(length.to_be_bytes());
        hash.update(text);
        if let Caveat::Bpd(bytes_per_day) = *caveat {
            budgets.push(ByteBudget { bucket: hash.clone().finalize().into(), bytes_per_day });
        }
    }
    budgets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets(identifier: &str, caveats: &[&str]) -> Vec<ByteBudget> {
        let parsed: Vec<Caveat> = caveats.iter().map(|text| text.parse().unwrap()).collect();
        of_token(identifier.as_bytes(), caveats.iter().map(|text| text.as_bytes()).zip(&parsed))
    }

    // Verifies: TOK-14
    #[test]
    fn narrowing_opens_no_new_budget() {
        let first = budgets("id", &["op=read", "bpd=100"]);
        assert_eq!((first.len(), first[0].bytes_per_day), (1, 100));
        // SHA-256 of `id`, 0x00000007 `op=read`, 0x00000007 `bpd=100`.
        let mut all = b"id".to_vec();
        for caveat in ["op=read", "bpd=100"] {
            all.extend([0, 0, 0, 7]);
            all.extend(caveat.as_bytes());
        }
        assert_eq!(first[0].bucket, <[u8; 32]>::from(Sha256::digest(&all)));
        let further = budgets("id", &["op=read", "bpd=100", "exp=9", "bpd=1000"]);
        assert_eq!(further[0], first[0]);
        assert_ne!(further[1].bucket, first[0].bucket);
        assert_ne!(budgets("other", &["op=read", "bpd=100"])[0].bucket, first[0].bucket);
        assert!(budgets("id", &["op=read"]).is_empty());
    }
}
