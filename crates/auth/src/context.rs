//! What a verified credential of a data endpoint may do: the value that engines and routes receive.

use ferry_types::{
    DatabaseId, Error, Model, ModelSet, Op, OpSet, OrgId, Reason, Result, SessionId, TokenId, UserId,
};

use crate::{budget::ByteBudget, caveat::Restrictions, claims::Grant, token::Verified};

/// The rights of one request or connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthContext {
    /// Name of the key that signed the credential.
    pub kid: u32,
    /// Whose credential it is.
    pub user_id: UserId,
    /// The user's epoch when the credential was minted.
    pub user_epoch: u32,
    /// The organisation that owns the database.
    pub org_id: OrgId,
    /// The one database it opens.
    pub database_id: DatabaseId,
    /// The database's epoch when the credential was minted.
    pub database_epoch: u32,
    /// The models it reaches, after caveats.
    pub models: ModelSet,
    /// What it may do, after caveats and the owner's role.
    pub ops: OpSet,
    /// All caveats, for what only the models can enforce.
    pub restrictions: Restrictions,
    /// What it may transfer in a day; whoever serves it charges every byte to them.
    pub byte_budgets: Vec<ByteBudget>,
    /// From this Unix second on it is dead.
    pub deadline_unix: i64,
    /// The login it was minted from.
    pub session_id: SessionId,
    /// The credential itself.
    pub token_id: TokenId,
}

impl AuthContext {
    /// The rights of a sync token whose owner's role allows `role_ops`. `None` if a `db` caveat names another
    /// database than the token's, so that the token opens none, or if it is no sync token.
    #[must_use]
    pub fn of_sync_token(token: &Verified, role_ops: OpSet) -> Option<Self> {
        let Grant::Sync { database_id, database_epoch, models, ops } = token.claims.grant else {
            return None;
        };
        if token.restrictions.database_id.is_some_and(|named| named != database_id) {
            return None;
        }
        Some(Self {
            kid: token.claims.kid,
            user_id: token.claims.user_id,
            user_epoch: token.claims.user_epoch,
            org_id: token.claims.org_id,
            database_id,
            database_epoch,
            models: models.intersection(token.restrictions.models),
            ops: ops.intersection(token.restrictions.ops).intersection(role_ops),
            restrictions: token.restrictions.clone(),
            byte_budgets: token.byte_budgets.clone(),
            deadline_unix: token.deadline_unix,
            session_id: token.claims.session_id,
            token_id: token.claims.token_id,
        })
    }

    /// Who acts, as one string for logs and audit.
    #[must_use]
    pub fn principal(&self) -> String {
        self.user_id.to_string()
    }

    /// Refuses unless the credential may do `op` on `model`, and the model can enforce every caveat that it
    /// carries (TOK-09).
    ///
    /// # Errors
    /// [`Reason::PermissionDenied`].
    pub fn require(&self, model: Model, op: Op) -> Result<()> {
        let denied = |message: String| Err(Error::new(Reason::PermissionDenied, message));
        if !self.models.contains(model) {
            return denied(format!("this token does not reach {model}: issue one for that model"));
        }
        if !self.ops.contains(op) {
            return denied(format!("this token may not {op}: issue one that may"));
        }
        if !self.restrictions.table_prefixes.is_empty() && !matches!(model, Model::Records | Model::Ops) {
            return denied(format!("{model} cannot enforce the caveat tbl: use a token without it"));
        }
        if !self.restrictions.function_prefixes.is_empty() && model != Model::Functions {
            return denied(format!("{model} cannot enforce the caveat fn: use a token without it"));
        }
        if !self.byte_budgets.is_empty() && !counts_bytes(model) {
            return denied(format!("{model} cannot enforce the caveat bpd: use a token without it"));
        }
        Ok(())
    }
}

/// Whether the endpoints of a model charge what they receive and send to a token's budgets (TOK-14).
const fn counts_bytes(model: Model) -> bool {
    match model {
        Model::Pages => true,
        Model::Events | Model::Records | Model::Ops | Model::Functions => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        caveat::Caveat,
        claims::{Purpose, tests::sample},
    };

    fn context(caveats: &[&str], role_ops: OpSet) -> Option<AuthContext> {
        let caveats: Vec<Caveat> = caveats.iter().map(|text| text.parse().unwrap()).collect();
        let restrictions = Restrictions::combine(&caveats).unwrap();
        let budgets = restrictions.byte_budgets.iter();
        let verified = Verified {
            byte_budgets: budgets
                .map(|bytes| ByteBudget { bucket: [7; 32], bytes_per_day: *bytes })
                .collect(),
            claims: sample(Purpose::Sync),
            caveats,
            restrictions,
            deadline_unix: 2_000,
        };
        AuthContext::of_sync_token(&verified, role_ops)
    }

    #[test]
    fn rights_are_what_token_caveats_and_role_all_allow() {
        let open = context(&[], OpSet::ALL).unwrap();
        assert!(open.require(Model::Pages, Op::Write).is_ok());
        assert_eq!(open.require(Model::Pages, Op::Admin).unwrap_err().reason, Reason::PermissionDenied);
        let viewer = context(&[], OpSet::of(&[Op::Read])).unwrap();
        assert!(viewer.require(Model::Pages, Op::Read).is_ok());
        assert!(viewer.require(Model::Pages, Op::Write).is_err());
        let narrowed = context(&["op=read", "model=events"], OpSet::ALL).unwrap();
        assert!(narrowed.require(Model::Events, Op::Read).is_ok());
        assert!(narrowed.require(Model::Events, Op::Write).is_err());
        assert!(narrowed.require(Model::Pages, Op::Read).is_err());
        assert!(context(&["db=db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902154"], OpSet::ALL).is_none());
        assert!(context(&["db=db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153"], OpSet::ALL).is_some());
    }

    // Verifies: TOK-09
    #[test]
    fn a_caveat_that_a_model_cannot_enforce_refuses() {
        let tables = context(&["tbl=notes"], OpSet::ALL).unwrap();
        let functions = context(&["fn=api/"], OpSet::ALL).unwrap();
        for model in ModelSet::ALL.iter() {
            let enforces_tables = matches!(model, Model::Records | Model::Ops);
            assert_eq!(tables.require(model, Op::Read).is_ok(), enforces_tables, "{model}");
            assert_eq!(functions.require(model, Op::Read).is_ok(), model == Model::Functions, "{model}");
        }
        let budget = context(&["bpd=5"], OpSet::ALL).unwrap();
        for model in ModelSet::ALL.iter() {
            assert_eq!(budget.require(model, Op::Read).is_ok(), counts_bytes(model), "{model}");
        }
    }
}
