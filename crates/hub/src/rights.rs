//! The rights table of the data plane: what each endpoint of each model asks of a credential. The code asks this
//! table and nothing else, and a test goes through every cell of it.

use ferry_auth::CredentialKind;
use ferry_types::{Model, Op};

pub use ferry_control::{ADMINISTRATION, DATA, DATA_WITH_CREDENTIAL, Right, SYNC_BEARERS};

const fn right(name: &'static str, model: Model, op: Op, kinds: &'static [CredentialKind]) -> Right {
    Right { name, model, op, kinds }
}

/// `/sync`: a push over EdgeReplica's wire.
pub const PAGES_SYNC_PUSH: Right = right("a push over /sync", Model::Pages, Op::Write, SYNC_BEARERS);
/// `/sync`: a pull over EdgeReplica's wire.
pub const PAGES_SYNC_PULL: Right = right("a pull over /sync", Model::Pages, Op::Read, SYNC_BEARERS);
/// `/v1/…/file` and `/v1/…/pages`: images, bodies of pages, versions.
pub const PAGES_READ: Right = right("reading pages", Model::Pages, Op::Read, SYNC_BEARERS);
/// `POST /v1/…/pages`: a push.
pub const PAGES_WRITE: Right = right("pushing pages", Model::Pages, Op::Write, SYNC_BEARERS);
/// `/v1/…/restore` and `/v1/…/fork`.
pub const PAGES_ADMIN: Right = right("administering pages", Model::Pages, Op::Admin, ADMINISTRATION);
/// `/v1/…/events`: pages and streams of a log.
pub const EVENTS_READ: Right = right("reading events", Model::Events, Op::Read, DATA);
/// `/v1/…/events`: an append.
pub const EVENTS_APPEND: Right = right("appending events", Model::Events, Op::Write, DATA);
/// `/v1/…/events/stores`.
pub const EVENTS_ADMIN: Right = right("administering event stores", Model::Events, Op::Admin, ADMINISTRATION);

/// Records: what clients push.
pub const RECORDS_PUSH: Right = right("a push of records", Model::Records, Op::Write, DATA);
/// Records: what clients pull, follow and list.
pub const RECORDS_PULL: Right = right("a pull of records", Model::Records, Op::Read, DATA);
/// Records of any owner.
pub const RECORDS_ADMIN: Right = right("administering records", Model::Records, Op::Admin, ADMINISTRATION);

/// Ops: what spokes push, and what the hub appends for them.
pub const OPS_PUSH: Right = right("a push of ops", Model::Ops, Op::Write, DATA);
/// Ops: what spokes pull, follow and look up.
pub const OPS_PULL: Right = right("a pull of ops", Model::Ops, Op::Read, DATA);
/// Ops: quarantine, compaction, epochs, ops of any origin.
pub const OPS_ADMIN: Right = right("administering ops", Model::Ops, Op::Admin, ADMINISTRATION);

/// Functions: a call over RPC, a socket. `--dev` lets nobody in without a credential (CFG-04).
pub const FUNCTIONS_CALL: Right =
    right("a call of a function", Model::Functions, Op::Read, DATA_WITH_CREDENTIAL);
/// Functions: what a call commits.
pub const FUNCTIONS_WRITE: Right =
    right("a write by a function", Model::Functions, Op::Write, DATA_WITH_CREDENTIAL);
/// Functions: the deployment API.
pub const FUNCTIONS_ADMIN: Right =
    right("administering functions", Model::Functions, Op::Admin, ADMINISTRATION);

/// Every row.
pub const ALL: &[Right] = &[
    PAGES_SYNC_PUSH,
    PAGES_SYNC_PULL,
    PAGES_READ,
    PAGES_WRITE,
    PAGES_ADMIN,
    EVENTS_READ,
    EVENTS_APPEND,
    EVENTS_ADMIN,
    RECORDS_PUSH,
    RECORDS_PULL,
    RECORDS_ADMIN,
    OPS_PUSH,
    OPS_PULL,
    OPS_ADMIN,
    FUNCTIONS_CALL,
    FUNCTIONS_WRITE,
    FUNCTIONS_ADMIN,
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ferry_auth::{AuthContext, Principal, Restrictions, Role, TokenHolder};
    use ferry_types::{ModelSet, OpSet, Reason, TokenId};

    use super::*;

    fn holder() -> TokenHolder {
        TokenHolder {
            kid: 1,
            user_id: "u_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            user_epoch: 0,
            org_id: "o_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            session_id: "s_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            token_id: TokenId([0; 16]),
        }
    }

    /// A credential of a kind that may do all that its kind ever may, or everything but `without`.
    fn credential(kind: CredentialKind, without: Option<(Model, Op)>) -> AuthContext {
        let principal = match kind {
            CredentialKind::SyncToken => Principal::SyncToken { holder: holder(), database_epoch: 0 },
            CredentialKind::Session => Principal::Session { holder: holder(), role: Role::Admin },
            CredentialKind::Jwt => Principal::Jwt(ferry_auth::JwtSubject {
                issuer: "https://id.example".into(),
                subject: "ada".into(),
                issued_unix: None,
                settings_of: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
                settings_version: 1,
                trust: ferry_auth::JwtTrust::Settings,
                key: Default::default(),
            }),
            CredentialKind::ApiKey => {
                Principal::ApiKey("k_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap())
            }
            CredentialKind::Anonymous => Principal::Anonymous,
        };
        let ops = match kind {
            CredentialKind::SyncToken | CredentialKind::ApiKey => OpSet::ALL,
            CredentialKind::Jwt | CredentialKind::Anonymous => OpSet::of(&[Op::Read, Op::Write]),
            CredentialKind::Session => OpSet::of(&[Op::Admin]),
        };
        AuthContext {
            principal,
            beside: None,
            database_id: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            models: ModelSet::ALL
                .iter()
                .filter(|model| without.is_none_or(|(not, _)| not != *model))
                .collect(),
            ops: ops.iter().filter(|op| without.is_none_or(|(_, not)| not != *op)).collect(),
            restrictions: Arc::new(Restrictions::none()),
            functions: None,
            stores: None,
            byte_budgets: None,
            deadline_unix: None,
            by_default: false,
        }
    }

    /// The table as people read it: a credential with all rights of its kind, in the order token, JWT, key,
    /// anonymous, session. `y` lets in, `4` answers 401, `n` 403.
    const CELLS: &[(&str, &str)] = &[
        ("a push over /sync", "yny4n"),
        ("a pull over /sync", "yny4n"),
        ("reading pages", "yny4n"),
        ("pushing pages", "yny4n"),
        ("administering pages", "yny4y"),
        ("reading events", "yyyyn"),
        ("appending events", "yyyyn"),
        ("administering event stores", "yny4y"),
        ("a push of records", "yyyyn"),
        ("a pull of records", "yyyyn"),
        ("administering records", "yny4y"),
        ("a push of ops", "yyyyn"),
        ("a pull of ops", "yyyyn"),
        ("administering ops", "yny4y"),
        ("a call of a function", "yyy4n"),
        ("a write by a function", "yyy4n"),
        ("administering functions", "yny4y"),
    ];

    // Verifies: TOK-03, CFG-04
    #[test]
    fn every_cell_of_the_table() {
        assert_eq!(ALL.len(), CELLS.len(), "a row without cells");
        for (right, (name, cells)) in ALL.iter().zip(CELLS) {
            assert_eq!(right.name, *name);
            for (kind, cell) in CredentialKind::ALL.iter().zip(cells.chars()) {
                let outcome = right.check(&credential(*kind, None));
                let told = match &outcome {
                    Ok(()) => 'y',
                    Err(error) if error.reason == Reason::Unauthenticated => '4',
                    Err(_) => 'n',
                };
                assert_eq!(told, cell, "{name} by {kind:?}: {outcome:?}");
                // Nobody is let in without the model and the operation.
                let other = Model::ALL.iter().copied().find(|model| *model != right.model).unwrap();
                let no_op = credential(*kind, Some((other, right.op)));
                assert!(right.check(&no_op).is_err(), "{name} by {kind:?} without {}", right.op);
                let rest = Op::ALL.iter().copied().find(|op| *op != right.op).unwrap();
                let no_model = credential(*kind, Some((right.model, rest)));
                assert!(right.check(&no_model).is_err(), "{name} by {kind:?} without {}", right.model);
            }
        }
    }
}
