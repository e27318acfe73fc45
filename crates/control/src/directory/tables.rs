//! Tables of `control.db` (control.md, 4). Times are Unix milliseconds; ids carry their prefix.

/// The oldest schema whose program may still write what this one writes. A migration that an older program cannot live with
/// raises it to its own number, which takes a major release.
pub(crate) const MIN_READER: usize = 6;

/// The migrations, in order; a released one is never edited.
pub(crate) const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE users(
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    email_verified INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    disabled INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE identities(
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    provider TEXT NOT NULL,
    provider_user_id TEXT NOT NULL,
    secret TEXT,
    UNIQUE(provider, provider_user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_user ON identities(user_id);

CREATE TABLE organizations(
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    personal INTEGER NOT NULL,
    owner_user_id TEXT REFERENCES users(id) ON DELETE SET NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX organizations_personal ON organizations(owner_user_id) WHERE personal;

CREATE TABLE memberships(
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    org_id TEXT NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK(role IN ('admin', 'member', 'viewer')),
    created INTEGER NOT NULL,
    PRIMARY KEY(user_id, org_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_org ON memberships(org_id);

CREATE TABLE databases(
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations(id),
    name TEXT NOT NULL,
    kind TEXT CHECK(kind IN ('hub', 'replica')),
    created_by TEXT REFERENCES users(id) ON DELETE SET NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    jwt_not_before INTEGER,
    created INTEGER NOT NULL,
    deleted INTEGER,
    trashed INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX databases_name ON databases(org_id, name) WHERE deleted IS NULL;
CREATE INDEX databases_deleted ON databases(deleted) WHERE deleted IS NOT NULL;

CREATE TABLE sessions(
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    ip TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER,
    keeps_tokens INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions(user_id, ip);
CREATE INDEX sessions_expires ON sessions(expires);
CREATE INDEX sessions_revoked ON sessions(expires) WHERE revoked IS NOT NULL;

CREATE TABLE issued_tokens(
    token_id BLOB PRIMARY KEY,
    database_id TEXT NOT NULL REFERENCES databases(id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    label TEXT NOT NULL,
    models TEXT NOT NULL,
    ops TEXT NOT NULL,
    issued INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX issued_tokens_database ON issued_tokens(database_id);
CREATE INDEX issued_tokens_expires ON issued_tokens(expires);
CREATE INDEX issued_tokens_revoked ON issued_tokens(expires) WHERE revoked IS NOT NULL;

CREATE TABLE api_keys(
    id TEXT PRIMARY KEY,
    database_id TEXT NOT NULL REFERENCES databases(id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    models TEXT NOT NULL,
    ops TEXT NOT NULL,
    limits TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    last_used INTEGER,
    revoked INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_database ON api_keys(database_id);

CREATE TABLE jwt_settings(
    database_id TEXT PRIMARY KEY REFERENCES databases(id) ON DELETE CASCADE,
    settings TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE invitations(secret_hash BLOB PRIMARY KEY, payload TEXT NOT NULL, expires INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE password_resets(secret_hash BLOB PRIMARY KEY, payload TEXT NOT NULL, expires INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE oauth_states(secret_hash BLOB PRIMARY KEY, payload TEXT NOT NULL, expires INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;

CREATE TABLE token_usage(
    bucket BLOB NOT NULL,
    day INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY(bucket, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    org_id TEXT,
    database_id TEXT,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    ip TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_org ON audit(org_id, id);
CREATE INDEX audit_at ON audit(at);
",
    "
-- An organisation that is deleted stays until the sweep has removed the databases it had.
ALTER TABLE organizations ADD COLUMN deleted INTEGER;
CREATE INDEX organizations_deleted ON organizations(deleted) WHERE deleted IS NOT NULL;
CREATE INDEX databases_org ON databases(org_id);
CREATE UNIQUE INDEX invitations_id ON invitations(json_extract(payload, '$.id'));
CREATE INDEX invitations_org ON invitations(json_extract(payload, '$.org_id'));
CREATE INDEX password_resets_user ON password_resets(json_extract(payload, '$.user_id'));
",
    "
-- Where each log stood last, to notice a file that is older (EVT-43, OPS-31).
CREATE TABLE watermarks(
    database_id TEXT NOT NULL REFERENCES databases(id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    store TEXT NOT NULL,
    identity TEXT NOT NULL,
    head INTEGER NOT NULL,
    PRIMARY KEY(database_id, model, store)
) STRICT, WITHOUT ROWID;
",
    "
-- Whose trail is still read when the organisation is gone (WEB-07).
CREATE INDEX audit_deleted_orgs_by_name ON audit(target) WHERE action = 'org.delete';
CREATE INDEX audit_deleted_orgs ON audit(org_id) WHERE action = 'org.delete';
-- From where each account was entered (PWD-05): an address, or the /64 of one.
CREATE TABLE login_clients(
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    client BLOB NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY(user_id, client)
) STRICT, WITHOUT ROWID;
",
    "
-- How many databases an organisation has, so that making one need not count them.
ALTER TABLE organizations ADD COLUMN database_count INTEGER NOT NULL DEFAULT 0;
UPDATE organizations SET database_count =
    (SELECT count(*) FROM databases WHERE org_id = organizations.id AND databases.deleted IS NULL);
CREATE TRIGGER databases_made AFTER INSERT ON databases WHEN NEW.deleted IS NULL BEGIN
    UPDATE organizations SET database_count = database_count + 1 WHERE id = NEW.org_id;
END;
CREATE TRIGGER databases_deleted AFTER UPDATE OF deleted ON databases
WHEN OLD.deleted IS NULL AND NEW.deleted IS NOT NULL BEGIN
    UPDATE organizations SET database_count = database_count - 1 WHERE id = NEW.org_id;
END;
CREATE TRIGGER databases_removed AFTER DELETE ON databases WHEN OLD.deleted IS NULL BEGIN
    UPDATE organizations SET database_count = database_count - 1 WHERE id = OLD.org_id;
END;
",
    "
-- Functions: whose JWTs they take (NULL: it was never set), and how many keys of its own the database has had.
CREATE TABLE fn_settings(
    database_id TEXT PRIMARY KEY REFERENCES databases(id) ON DELETE CASCADE,
    auth TEXT CHECK(auth IN ('none', 'remote', 'local')),
    keys_made INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE fn_signing_keys(
    database_id TEXT NOT NULL REFERENCES databases(id) ON DELETE CASCADE,
    kid TEXT NOT NULL,
    private_sealed BLOB NOT NULL,
    public_jwk TEXT NOT NULL,
    state TEXT NOT NULL CHECK(state IN ('active', 'verifying')),
    created INTEGER NOT NULL,
    -- The longest life of a token that it signed, and the Unix second at which no token of it lives any more.
    longest_seconds INTEGER NOT NULL,
    verifies_until INTEGER,
    PRIMARY KEY(database_id, kid)
) STRICT, WITHOUT ROWID;
CREATE TABLE fn_secrets(
    database_id TEXT NOT NULL REFERENCES databases(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY(database_id, name)
) STRICT, WITHOUT ROWID;
-- A deleted database loses its keys and secrets at once, not when its row is swept.
CREATE TRIGGER functions_of_deleted AFTER UPDATE OF deleted ON databases WHEN NEW.deleted IS NOT NULL BEGIN
    DELETE FROM fn_settings WHERE database_id = NEW.id;
    DELETE FROM fn_signing_keys WHERE database_id = NEW.id;
    DELETE FROM fn_secrets WHERE database_id = NEW.id;
END;
",
    "
-- Each start of the hub, in the order of the commits that name them, and the last break of all databases before it.
CREATE TABLE runs(
    run TEXT PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    after_break INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_in_order ON runs(first_seq);
-- Where a file does not continue what clients have seen: of all databases (scope 'hub'), or of one. What applies is done
-- to each file that has no such number yet.
CREATE TABLE breaks(
    n INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    scope TEXT NOT NULL,
    reason TEXT NOT NULL,
    known_seq INTEGER NOT NULL,
    since INTEGER,
    applies INTEGER NOT NULL
) STRICT;
",
    "
-- Who may operate the hub, signed in to the dashboard (OPR-51).
ALTER TABLE users ADD COLUMN operator INTEGER NOT NULL DEFAULT 0;
-- When a session ends, whatever refreshes it: those of the dashboard do.
ALTER TABLE sessions ADD COLUMN ends INTEGER;
",
    "
-- Mails that wait to be sent; what is secret of them is sealed. `address_key` tells accounts apart.
CREATE TABLE outbox(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    address_key TEXT NOT NULL,
    user_id TEXT REFERENCES users(id) ON DELETE CASCADE,
    sealed BLOB NOT NULL,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_due ON outbox(due);
CREATE INDEX outbox_address ON outbox(address_key);
CREATE INDEX outbox_user ON outbox(user_id);
CREATE TABLE email_verifications(secret_hash BLOB PRIMARY KEY, payload TEXT NOT NULL, expires INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE INDEX email_verifications_user ON email_verifications(json_extract(payload, '$.user_id'));
",
];
