//! What a verified credential of a data endpoint may do: the value that engines and routes receive.

use std::sync::Arc;

use ferry_types::{ApiKeyId, DatabaseId, Error, Model, ModelSet, Op, OpSet, OrgId, Reason, Result};

use crate::{
    ByteBudget, CredentialKind, JwtSubject, Principal, Role, TokenHolder, caveat::Restrictions,
    claims::Grant, jwt::StoreScope, token::Verified,
};

/// The rights of one request or connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthContext {
    /// Who acts.
    pub principal: Principal,
    /// An API key that came beside the principal's credential; its end is the end of both.
    pub beside: Option<ApiKeyId>,
    /// The one database it opens.
    pub database_id: DatabaseId,
    /// The models it reaches, after everything that narrows it.
    pub models: ModelSet,
    /// What it may do, after everything that narrows it.
    pub ops: OpSet,
    /// All caveats, for what only the models can enforce.
    pub restrictions: Arc<Restrictions>,
    /// The functions that an API key names; `None`: no such list.
    pub functions: Option<Arc<[String]>>,
    /// The event stores that a JWT names; `None`: it names none, and opens all.
    pub stores: Option<Arc<StoreScope>>,
    /// What it may transfer in a day; whoever serves it charges every byte to them.
    pub byte_budgets: Option<Arc<[ByteBudget]>>,
    /// Unix second at which it expires; `None`: never.
    pub deadline_unix: Option<i64>,
    /// Neither the credential nor the path names the database: it is the default one.
    pub by_default: bool,
}

/// What an API key grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRights {
    /// The key.
    pub id: ApiKeyId,
    /// The one database it opens.
    pub database_id: DatabaseId,
    /// The models it reaches.
    pub models: ModelSet,
    /// What it may do.
    pub ops: OpSet,
    /// The functions it may call; `None`: all.
    pub functions: Option<Arc<[String]>>,
    /// Unix second at which it expires; `None`: never.
    pub deadline_unix: Option<i64>,
}

impl AuthContext {
    /// The rights of a sync token whose owner's role allows `role_ops`. `None` if a `db` caveat names another
    /// database than the token's, so that the token opens none, or if it is no sync token.
    #[must_use]
    pub fn of_sync_token(token: &Verified, role_ops: OpSet) -> Option<Self> {
        let Grant::Sync { database_id, database_epoch, models, ops } = token.claims.grant else {
            return None;
        };
        let holder = TokenHolder::of(token, token.claims.org_id);
        let principal = Principal::SyncToken { holder, database_epoch };
        Self::of_token(token, principal, database_id, models, ops.intersection(role_ops))
    }

    /// The rights of a session at the admin APIs of a database in the organisation `org_id`, where its user has
    /// `role`. It never syncs. `None` if a `db` caveat names another database.
    #[must_use]
    pub fn of_session(
        session: &Verified,
        database_id: DatabaseId,
        org_id: OrgId,
        role: Role,
    ) -> Option<Self> {
        let principal = Principal::Session { holder: TokenHolder::of(session, org_id), role };
        let ops = role.ops().intersection(OpSet::of(&[Op::Admin]));
        Self::of_token(session, principal, database_id, ModelSet::ALL, ops)
    }

    /// The same of a person's session in the dashboard: it reads too, since whoever belongs to the organisation may have a
    /// token that does.
    #[must_use]
    pub fn with_reads(mut self) -> Self {
        let is_session = self.principal.kind() == CredentialKind::Session;
        if is_session && self.restrictions.ops.contains(Op::Read) {
            self.ops = self.ops.iter().chain([Op::Read]).collect();
        }
        self
    }

    fn of_token(
        token: &Verified,
        principal: Principal,
        database_id: DatabaseId,
        models: ModelSet,
        ops: OpSet,
    ) -> Option<Self> {
        if token.restrictions.database_id.is_some_and(|named| named != database_id) {
            return None;
        }
        Some(Self {
            principal,
            beside: None,
            database_id,
            models: models.intersection(token.restrictions.models),
            ops: ops.intersection(token.restrictions.ops),
            restrictions: Arc::clone(&token.restrictions),
            functions: None,
            stores: None,
            byte_budgets: token.byte_budgets.clone(),
            deadline_unix: Some(token.deadline_unix),
            by_default: false,
        })
    }

    /// The rights of a JWT's subject, as the database's settings grant them.
    #[must_use]
    pub fn of_jwt(
        subject: JwtSubject,
        database_id: DatabaseId,
        models: ModelSet,
        ops: OpSet,
        deadline_unix: i64,
    ) -> Self {
        let principal = Principal::Jwt(subject);
        Self { deadline_unix: Some(deadline_unix), ..Self::unrestricted(principal, database_id, models, ops) }
    }

    /// The rights of an API key that came alone.
    #[must_use]
    pub fn of_key(key: KeyRights) -> Self {
        let principal = Principal::ApiKey(key.id);
        let open = Self::unrestricted(principal, key.database_id, key.models, key.ops);
        Self { functions: key.functions, deadline_unix: key.deadline_unix, ..open }
    }

    /// What everyone may do with the database of `--dev`: read and write.
    #[must_use]
    pub fn anonymous(database_id: DatabaseId) -> Self {
        let ops = OpSet::of(&[Op::Read, Op::Write]);
        Self::unrestricted(Principal::Anonymous, database_id, ModelSet::ALL, ops)
    }

    fn unrestricted(principal: Principal, database_id: DatabaseId, models: ModelSet, ops: OpSet) -> Self {
        let restrictions = Restrictions::shared_none();
        Self {
            principal,
            beside: None,
            database_id,
            models,
            ops,
            restrictions,
            functions: None,
            stores: None,
            byte_budgets: None,
            deadline_unix: None,
            by_default: false,
        }
    }

    /// The same with an API key beside it: the principal stays, the rights are what both allow. `None` if the
    /// key opens another database.
    #[must_use]
    pub fn beside_key(mut self, key: KeyRights) -> Option<Self> {
        if key.database_id != self.database_id {
            return None;
        }
        self.beside = Some(key.id);
        self.by_default = false;
        self.models = self.models.intersection(key.models);
        self.ops = self.ops.intersection(key.ops);
        self.functions = key.functions;
        self.deadline_unix = match (self.deadline_unix, key.deadline_unix) {
            (Some(own), Some(keys)) => Some(own.min(keys)),
            (own, keys) => own.or(keys),
        };
        Some(self)
    }

    /// Whether the function of this name may be called: by the list of an API key, and by every `fn` caveat.
    #[must_use]
    pub fn allows_function(&self, name: &str) -> bool {
        self.functions.as_ref().is_none_or(|listed| listed.iter().any(|function| function == name))
            && self.restrictions.function_prefixes.iter().all(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Who acts, as one string for logs, hooks and audit.
    #[must_use]
    pub fn principal(&self) -> String {
        self.principal.to_string()
    }

    /// Refuses unless the credential may do `op` on `model`, and the model can enforce every caveat that it
    /// carries (TOK-09).
    ///
    /// # Errors
    /// [`Reason::PermissionDenied`]; [`Reason::WrongPurpose`] for a session that would sync.
    pub fn require(&self, model: Model, op: Op) -> Result<()> {
        let denied = |message: String| Err(Error::new(Reason::PermissionDenied, message));
        let kind = self.principal.kind();
        if kind == CredentialKind::Session && op != Op::Admin && !self.ops.contains(op) {
            let message = "a session token cannot sync: issue a sync token for the database and use that";
            return Err(Error::new(Reason::WrongPurpose, message));
        }
        let who = kind.as_str();
        if !self.models.contains(model) {
            return denied(format!("this {who} does not reach {model}: use one for that model"));
        }
        if !self.ops.contains(op) {
            return denied(format!("this {who} lacks the right {op} of {model}: use one that has it"));
        }
        if !self.restrictions.table_prefixes.is_empty() && !matches!(model, Model::Records | Model::Ops) {
            return denied(format!("{model} cannot enforce the caveat tbl: use a token without it"));
        }
        if !self.restrictions.function_prefixes.is_empty() && model != Model::Functions {
            return denied(format!("{model} cannot enforce the caveat fn: use a token without it"));
        }
        if self.byte_budgets.is_some() && !counts_bytes(model) {
            return denied(format!("{model} cannot enforce the caveat bpd: use a token without it"));
        }
        Ok(())
    }
}

/// Whether the endpoints of a model charge what they receive and send to a token's budgets (TOK-14).
const fn counts_bytes(model: Model) -> bool {
    match model {
        Model::Pages | Model::Events | Model::Records | Model::Ops => true,
        Model::Functions => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        caveat::Caveat,
        claims::{Purpose, tests::sample},
    };

    const DATABASE: &str = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";

    fn verified(purpose: Purpose, caveats: &[&str]) -> Verified {
        let caveats: Vec<Caveat> = caveats.iter().map(|text| text.parse().unwrap()).collect();
        let restrictions = Arc::new(Restrictions::combine(&caveats).unwrap());
        let budget = |bytes: &u64| ByteBudget { bucket: [7; 32], bytes_per_day: *bytes };
        let byte_budgets: Vec<ByteBudget> = restrictions.byte_budgets.iter().map(budget).collect();
        let byte_budgets = Some(byte_budgets.into()).filter(|_| !restrictions.byte_budgets.is_empty());
        Verified { claims: sample(purpose), caveats, restrictions, byte_budgets, deadline_unix: 2_000 }
    }

    fn context(caveats: &[&str], role_ops: OpSet) -> Option<AuthContext> {
        AuthContext::of_sync_token(&verified(Purpose::Sync, caveats), role_ops)
    }

    fn key(database: &str, ops: &[Op], deadline_unix: Option<i64>) -> KeyRights {
        KeyRights {
            id: "k_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            database_id: database.parse().unwrap(),
            models: ModelSet::of(&[Model::Events, Model::Functions]),
            ops: OpSet::of(ops),
            functions: Some(["list".to_owned()].into()),
            deadline_unix,
        }
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
        assert!(context(&[&format!("db={DATABASE}")], OpSet::ALL).is_some());
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
            let counts = model != Model::Functions;
            assert_eq!(budget.require(model, Op::Read).is_ok(), counts, "{model}");
        }
    }

    #[test]
    fn a_session_administers_with_its_role_and_never_syncs() {
        let of = |caveats: &[&str], role| {
            let session = verified(Purpose::Session, caveats);
            let org_id = session.claims.org_id;
            AuthContext::of_session(&session, DATABASE.parse().unwrap(), org_id, role).unwrap()
        };
        assert!(of(&[], Role::Admin).require(Model::Events, Op::Admin).is_ok());
        assert!(of(&[], Role::Member).require(Model::Events, Op::Admin).is_err());
        assert!(of(&["op=read"], Role::Admin).require(Model::Events, Op::Admin).is_err());
        assert!(of(&["model=pages"], Role::Admin).require(Model::Events, Op::Admin).is_err());
        let syncing = of(&[], Role::Admin).require(Model::Events, Op::Read).unwrap_err();
        assert_eq!(syncing.reason, Reason::WrongPurpose);
    }

    #[test]
    fn a_key_beside_a_bearer_only_narrows() {
        let token = context(&[], OpSet::ALL).unwrap();
        let by_default = AuthContext { by_default: true, ..token.clone() };
        let named = by_default.beside_key(key(DATABASE, &[Op::Read], None)).unwrap();
        assert!(!named.by_default, "the key names the database");
        let both = token.clone().beside_key(key(DATABASE, &[Op::Read, Op::Admin], Some(1_500))).unwrap();
        assert_eq!(both.principal, token.principal);
        assert_eq!(both.models, ModelSet::of(&[Model::Events, Model::Functions]));
        assert_eq!((both.ops, both.deadline_unix), (OpSet::of(&[Op::Read]), Some(1_500)));
        assert!(both.allows_function("list") && !both.allows_function("lists"));
        assert!(token.allows_function("anything"));
        let prefixed = context(&["fn=li"], OpSet::ALL).unwrap();
        assert!(prefixed.allows_function("lists") && !prefixed.allows_function("add"));
        let endless = token.clone().beside_key(key(DATABASE, &[Op::Read], None)).unwrap();
        assert_eq!(endless.deadline_unix, Some(2_000));
        assert_eq!(token.beside_key(key("db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902154", &[Op::Read], None)), None);
    }
}
