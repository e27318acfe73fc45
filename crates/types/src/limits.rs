//! Every fixed limit of Ferry, with its unit in its name. Settings that users may change have their default
//! in the hub's configuration.

/// Largest frame of EdgeReplica's wire, header included.
pub const EDGEREPLICA_FRAME_MAX_BYTES: usize = 1 << 20;
/// Unsent bytes a pull session may hold before it waits for its socket (PAG-11).
pub const EDGEREPLICA_UNSENT_MAX_BYTES: usize = 256 << 10;
/// Open EdgeReplica sockets of one database.
pub const EDGEREPLICA_SOCKETS_PER_DATABASE: usize = 64;
/// Longest silence of an EdgeReplica socket.
pub const EDGEREPLICA_IDLE_MAX_MS: u64 = 120_000;
/// Longest EdgeReplica session.
pub const EDGEREPLICA_SESSION_MAX_MS: u64 = 6 * 3600 * 1000;
/// Pages that one `page_hash_batch` may cover.
pub const EDGEREPLICA_BATCH_MAX_PAGES: u32 = 65_536;
/// Batches that differ and whose answers the client has not taken yet.
pub const EDGEREPLICA_BATCHES_UNANSWERED_MAX: usize = 1024;
/// Page numbers of one `hash_mismatch_batch`.
pub const EDGEREPLICA_MISMATCH_FRAME_PAGES: u32 = 8192;
/// Streams of versions of one database (PAG-28).
pub const PAGES_STREAMS_PER_DATABASE: usize = 1_000;
/// Largest body that a stream of versions carries inside an event.
pub const PAGES_INLINE_MAX_BYTES: u32 = 64 << 10;
/// How long a request may wait for a newer version, in seconds.
pub const PAGES_WAIT_MAX_SECONDS: u32 = 55;
/// Versions on one page of their list.
pub const PAGES_VERSIONS_MAX: u32 = 1_000;
/// Bodies of pages that are made at once, of all databases; others wait for their turn.
pub const PAGES_BODIES_MADE_AT_ONCE: usize = 4;
/// Pieces of files and long bodies that are read and compressed at once, of all databases; each takes a thread as long.
pub const PAGES_PIECES_MADE_AT_ONCE: usize = 16;
/// Old versions that are looked up at once, of all databases: the root of one is made of the leaves of all its pages.
pub const PAGES_VERSION_LOOKUPS_AT_ONCE: usize = 2;
/// A body of pages up to this size is made before its answer begins, and may be kept for other readers.
pub const PAGES_BODY_WHOLE_MAX_BYTES: usize = 4 << 20;
/// Pushes over Ferry's own page wire that one database takes at once.
pub const PAGES_UPLOADS_PER_DATABASE: usize = 4;
/// How much longer the body of a push may be than the largest database.
pub const PAGES_BODY_EXTRA_BYTES: u64 = 64 << 20;
/// Leaves that one question for staged pages may have.
pub const PAGES_STAGED_MAX_LEAVES: usize = 131_072;
/// JSON of one request of page sync.
pub const PAGES_JSON_MAX_BYTES: usize = 1 << 20;
/// Digests of one answer to a reader that reconciles an unknown base.
pub const PAGES_DIGESTS_MAX: u32 = 524_288;
/// Digests of its first answer at most.
pub const PAGES_DIGESTS_FIRST_MAX: u32 = 4096;
/// How often a stream of versions shows that it lives.
pub const PAGES_SSE_PING_MS: u64 = 15_000;
/// A transfer that moves no byte for this long is closed.
pub const TRANSFER_STALL_MAX_MS: u64 = 60_000;
/// How long a session outlives its credential's expiry (PAG-16).
pub const EXPIRY_GRACE_MS: u64 = 60_000;
/// How long after its credential's expiry an open connection may still append events (TOK-17).
pub const EVENTS_PUSH_LEEWAY_MS: i64 = 5_000;

/// Control frames (pings, pongs) that a socket's peer may send per second (WEB-12).
pub const SOCKET_CONTROL_FRAMES_PER_SECOND: u32 = 20;
/// Bytes of answered pings that may wait for a peer that reads nothing; of further ones only the newest is owed (WEB-12).
pub const SOCKET_PONGS_MAX_BYTES: usize = 8 << 10;
/// How long a socket's peer may take nothing while something waits for it, where its model sets no time (WEB-12).
pub const SOCKET_STALL_MAX_MS: u64 = 60_000;

/// Bytes of frames that a socket of event sync gathers before it writes them in one go.
pub const EVENTS_WRITE_BUFFER_BYTES: usize = 16 << 10;
/// Bytes of a frame to a client of event sync beside one event of the largest size: a page, its keys and its escapes.
pub const EVENTS_SENT_FRAME_MAX_BYTES: usize = 16 << 20;
/// How long a client that finds a store full should wait.
pub const EVENTS_FULL_RETRY_MS: u64 = 5_000;
/// How often the positions of event stores are saved outside their files (EVT-43).
pub const EVENTS_WATERMARK_EVERY_MS: u64 = 5_000;

/// Bytes of a page of Ferry's own view of events, above which it is cut.
pub const EVENTS_VIEW_PAGE_MAX_BYTES: usize = 8 << 20;
/// How often a stream of server-sent events shows that it lives.
pub const EVENTS_SSE_PING_MS: u64 = 15_000;
/// Largest import of an event store.
pub const EVENTS_IMPORT_MAX_BYTES: u64 = 16 << 30;
/// How long a read waits for the commit that `Ferry-Min-Seq` names.
pub const MIN_SEQ_WAIT_MAX_MS: u64 = 2_000;

/// Requests waiting for one database's writer; a further one waits for a place, at most
/// [`MAILBOX_WAIT_MAX_MS`].
pub const MAILBOX_CAPACITY: usize = 4096;
/// How long a request waits for a place in the mailbox before it is refused with `BUSY`.
pub const MAILBOX_WAIT_MAX_MS: u64 = 5_000;
/// Requests of one COMMIT.
pub const GROUP_MAX_REQUESTS: usize = 1024;
/// How long a database waits to be opened while all that may be open are in use, before its callers are refused with
/// `BUSY`.
pub const OPEN_WAIT_MAX_MS: u64 = 5_000;
/// How long a snapshot or a writer may be lent to one caller.
pub const LEASE_MAX_MS: u64 = 30_000;
/// Read-only connections kept open per database.
pub const READERS_PER_DATABASE: usize = 8;
/// WAL size above which the writer checkpoints and starts the WAL over in place.
pub const WAL_RESTART_BYTES: u64 = 4 << 20;
/// To what that size doubles each time the WAL of an open database was started over: pages that are written again and again
/// are moved into the file less often.
pub const WAL_BUSY_RESTART_BYTES: u64 = 12 << 20;
/// WAL size above which a checkpoint also truncates the file, and waits for those who read from the WAL.
pub const WAL_TRUNCATE_BYTES: u64 = 16 << 20;
/// How long it waits for them.
pub const WAL_WAIT_MAX_MS: u64 = 30_000;

/// Shortest time between two captures of versions of a database that the hub writes, unless configured.
pub const PAGES_CAPTURE_INTERVAL_MS: u64 = 50;
/// The same while nobody follows it.
pub const PAGES_CAPTURE_UNFOLLOWED_MS: u64 = 1_000;

/// How often the files of the hub's certificate are read again.
pub const TLS_FILES_EVERY_MS: u64 = 10_000;
/// How long a request's body may be waited for before anything of it has come (WEB-11).
pub const BODY_GRACE_MS: u64 = 10_000;
/// What buys a body one more second.
pub const BODY_BYTES_PER_SECOND: u64 = 1 << 10;
/// When to come again if too many bodies wait.
pub const BODY_MEMORY_RETRY_SECONDS: u32 = 5;
/// Body of a request that is refused, which is read only so that its calls can be named in the answer.
pub const REFUSED_BODY_MAX_BYTES: usize = 16 << 10;
/// Body of an RPC without a session or the operator's token: signups and logins are small.
pub const ANONYMOUS_RPC_BODY_MAX_BYTES: usize = 64 << 10;
/// Body of an RPC, compressed or not.
pub const RPC_BODY_MAX_BYTES: usize = 4 << 20;
/// Time an RPC may take.
pub const RPC_MAX_MS: u64 = 30_000;
/// Request line and headers together.
pub const HEADERS_MAX_BYTES: usize = 32 << 10;
/// What a peer may send over HTTP/2 before anybody reads it: all requests of a connection together.
pub const CONNECTION_HTTP2_WINDOW_BYTES: u32 = 256 << 10;
/// The same of one request.
pub const STREAM_HTTP2_WINDOW_BYTES: u32 = 256 << 10;
/// Time a client has to send its headers, unless configured.
pub const HEADERS_MAX_MS: u64 = 10_000;
/// Time a kept connection may wait for its next request: longer than proxies and HTTP agents keep theirs (60 s is
/// common), so that they close it, and no request of theirs meets a connection that the hub has just closed.
pub const IDLE_CONNECTION_MAX_MS: u64 = 75_000;
/// Requests still running when the hub is asked to stop have this long to finish (CFG-06).
pub const SHUTDOWN_GRACE_MS: u64 = 10_000;

/// E-mail address, after trimming (ORG-02).
pub const EMAIL_MAX_BYTES: usize = 254;
/// Shortest password, in characters (PWD-02).
pub const PASSWORD_MIN_CHARS: usize = 8;
/// Longest password (PWD-02).
pub const PASSWORD_MAX_BYTES: usize = 1024;
/// Database name (ORG-06).
pub const DATABASE_NAME_MAX_BYTES: usize = 64;
/// Name of an organisation that is not a personal one.
pub const ORG_NAME_MAX_BYTES: usize = 128;
/// Organisations one user may belong to.
pub const ORGS_PER_USER_MAX: usize = 1000;
/// Members of one organisation.
pub const MEMBERS_PER_ORG_MAX: usize = 10_000;
/// Invitations of one organisation that wait to be accepted.
pub const INVITATIONS_PER_ORG_MAX: usize = 1000;
/// Calls waiting for a password hash (PWD-04).
pub const PASSWORD_WAITERS_MAX: usize = 64;
/// How long a call waits for its turn at password hashing (PWD-04).
pub const PASSWORD_WAIT_MAX_MS: u64 = 5_000;

/// A decoded macaroon.
pub const TOKEN_MAX_BYTES: usize = 4096;
/// Caveats of a macaroon.
pub const TOKEN_MAX_CAVEATS: usize = 32;
/// One caveat of a macaroon.
pub const CAVEAT_MAX_BYTES: usize = 512;

/// Body of a push of records, decompressed.
pub const RECORDS_BODY_MAX_BYTES: usize = 10 << 20;
/// Bytes of bodies of records that are decoded at once in a hub, and not yet committed (WEB-11). It is more than one body
/// may have, and decoded they take some twenty times as much.
pub const RECORDS_DECODED_MAX_BYTES: usize = 24 << 20;
/// A body of at most so many bytes is decoded at once.
pub const DECODED_FREE_BYTES: usize = 64 << 10;
/// How long a larger one waits for its turn before it is refused.
pub const DECODE_WAIT_MAX_MS: u64 = 5_000;
/// Changes of one push.
pub const RECORDS_PUSH_MAX_CHANGES: usize = 5_000;
/// Fields of one change of Ferry's own client, which sets aside what is refused (REC-35).
pub const RECORDS_CHANGE_MAX_FIELDS: usize = 500;
/// One value of Ferry's own client, as JSON text (REC-35).
pub const RECORDS_VALUE_MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of a value; SQLite reads JSON that nests 1,000 deep, and a value lies within a record (REC-35).
pub const RECORDS_VALUE_MAX_NESTING: usize = 500;
/// App, collection and client id, in UTF-8.
pub const RECORDS_NAME_MAX_BYTES: usize = 256;
/// Id of a record, in UTF-8 (REC-35).
pub const RECORDS_ID_MAX_BYTES: usize = 1024;
/// Records of one page of a pull or stream.
pub const RECORDS_PAGE_MAX_RECORDS: usize = 1_000;
/// Changes of the delta that answers a push.
pub const RECORDS_DELTA_MAX_CHANGES: usize = 5_000;
/// A page or delta is cut behind the record with which it grows over this.
pub const RECORDS_PAGE_MAX_BYTES: usize = 4 << 20;
/// A page of a stream is cut behind the record with which it grows over this: each stream may have one in memory.
pub const RECORDS_STREAM_MAX_BYTES: usize = 256 << 10;
/// Records that are looked at for one page, most of which may not concern the asking client.
pub const RECORDS_PAGE_MAX_LOOKED_AT: usize = 20_000;
/// Records of a page that is read without changing to another thread; a longer one is begun again there.
pub const RECORDS_INLINE_MAX_RECORDS: usize = 20;
/// Records that are looked at for such a page.
pub const RECORDS_INLINE_MAX_LOOKED_AT: usize = 100;
/// Such a page is cut behind the record with which it grows over this.
pub const RECORDS_INLINE_MAX_BYTES: usize = 64 << 10;
/// How far a field's time may run ahead of the hub before it is replaced by the hub's (REC-04).
pub const RECORDS_AHEAD_MAX_MS: i64 = 5 * 60_000;
/// Times that the hub chose for one device's writes of one record and remembers, so that a retry is no newer write; the
/// oldest are forgotten (REC-04). A push has at most half as many changes.
pub const RECORDS_STAMPS_PER_RECORD: usize = 10_000;
/// Runs of the hub of which a file remembers where its records were: of older ones, a position beyond what the oldest of these
/// found shows that the hub was put back.
pub const RECORDS_RUNS_MAX: i64 = 1_000;
/// Youngest tombstone that may be purged, however far the devices are: late duplicates still meet it.
pub const RECORDS_TOMBSTONE_MIN_MS: i64 = 24 * 3600 * 1000;
/// How long a tombstone waits for devices that do not come back, as a multiple of `records.tombstone_days` (REC-40).
pub const RECORDS_TOMBSTONE_LAST_FACTOR: i64 = 2;
/// Columns of a collection's SQL view; further fields are in its `_extra` (REC-50).
pub const RECORDS_VIEW_MAX_COLUMNS: usize = 200;
/// Name of such a column; longer ones are in `_extra`, too.
pub const RECORDS_VIEW_COLUMN_MAX_BYTES: usize = 256;
/// Collections that one owner has in an app (REC-35).
pub const RECORDS_COLLECTIONS_PER_APP: usize = 500;
/// Collections of a database: every connection reads their views and triggers when it is opened (REC-35).
pub const RECORDS_COLLECTIONS_PER_DATABASE: usize = 1_000;
/// Collections of one push that the database does not know yet (REC-35).
pub const RECORDS_PUSH_MAX_NEW_COLLECTIONS: usize = 100;
/// Views that are made within the push that needs them, and so many at a time where it needs more (REC-35).
pub const RECORDS_VIEWS_AT_ONCE: usize = 10;
/// How old the note of a device's last visit may grow before a read that changes nothing else renews it.
pub const RECORDS_SEEN_MAX_MS: i64 = 3600 * 1000;
/// Recent pages of a view that are kept for those who have caught up; whoever lags behind them reads the state.
pub const RECORDS_RECENT_MAX_PAGES: usize = 64;
/// Bytes of these pages, together.
pub const RECORDS_RECENT_MAX_BYTES: usize = 256 << 10;
/// Frame to a client on the notification socket: the names of one app's changed collections.
pub const RECORDS_SOCKET_SENT_MAX_BYTES: usize = 16 << 20;
/// Frame of a client on the notification socket.
pub const RECORDS_SOCKET_FRAME_MAX_BYTES: usize = 32 << 10;

/// Tokens whose checked signature is remembered; about 1.5 KiB each.
pub const TOKEN_CACHE_MAX_ENTRIES: usize = 4096;
/// How long a checked signature is remembered (TOK-15).
pub const TOKEN_CACHE_MAX_MS: i64 = 60_000;
/// Keys of one fetched or configured key set (JWT-07).
pub const JWKS_MAX_KEYS: usize = 100;
/// A fetched or configured key set (JWT-07).
pub const JWKS_MAX_BYTES: usize = 256 << 10;
/// Fetching a key set, connecting included (JWT-07).
pub const JWKS_FETCH_MAX_MS: u64 = 5_000;
/// How often it is seen whether a key set that open connections rest on is due to be fetched again (JWT-04).
pub const JWKS_REFRESH_EVERY_MS: u64 = 10_000;

/// Live API keys of a database.
pub const API_KEYS_PER_DATABASE: u64 = 1000;
/// Origins, and functions, that one API key may name.
pub const API_KEY_LIST_MAX: usize = 256;
/// One origin or function that an API key names.
pub const API_KEY_ITEM_MAX_BYTES: usize = 256;
/// Requests per minute of an API key that names no rate of its own (WEB-06).
pub const API_KEY_PER_MINUTE: u32 = 6000;
/// How long the key before a rotation lives on by default, seconds (KEY-03).
pub const API_KEY_OVERLAP_SECONDS: i64 = 86_400;
/// Longest such time, seconds (KEY-03).
pub const API_KEY_OVERLAP_MAX_SECONDS: i64 = 30 * 86_400;

/// Secrets of a database's functions.
pub const FUNCTION_SECRETS_MAX: usize = 100;
/// Their names and values together, which each call is handed.
pub const FUNCTION_SECRETS_MAX_BYTES: usize = 64 << 10;
/// Longest name of one.
pub const FUNCTION_SECRET_NAME_MAX_BYTES: usize = 128;
/// Life of a JWT that a function signs without saying how long, seconds (FUN-53).
pub const FUNCTION_JWT_LIFE_DEFAULT_SECONDS: i64 = 3600;
/// Longest such life, seconds.
pub const FUNCTION_JWT_LIFE_MAX_SECONDS: i64 = 366 * 86_400;

/// How often counted bytes and the last uses of keys are stored: what a crash may forget (TOK-14).
pub const USAGE_FLUSH_MS: u64 = 10_000;
/// Byte budgets counted in memory at once; further ones replace those that nobody uses.
pub const BYTE_BUDGETS_MAX: usize = 100_000;

/// Logins at providers that wait for their end; a further one is refused with a retry time (OAU-02).
pub const OAUTH_STATES_MAX: u64 = 50_000;
/// Records of one page for Ferry's own client.
pub const RECORDS_CHANGES_MAX_RECORDS: usize = 5_000;
/// Records of one page of a list.
pub const RECORDS_LIST_MAX_RECORDS: usize = 1_000;
/// Entries of one page of a history, conflicts of one page.
pub const RECORDS_NOTES_MAX_ENTRIES: usize = 1_000;
/// An export or an import, which are held in memory.
pub const RECORDS_EXPORT_MAX_BYTES: usize = 256 << 20;

/// Shortest time between two nudges of a stream of ops (ops specification, 2.3): ten a second.
pub const OPS_NUDGE_EVERY_MS: u64 = 100;
/// Commits whose ops a database keeps ready for its streams of ops.
pub const OPS_RECENT_MAX_COMMITS: usize = 256;
/// Bytes of these.
pub const OPS_RECENT_MAX_BYTES: usize = 1 << 20;
/// Bytes of ops of one commit above which streams read them from the log, page by page.
pub const OPS_EVENTS_OF_COMMIT_MAX_BYTES: usize = 256 << 10;
/// Ops of a page that a stream reads which lags.
pub const OPS_TAIL_MAX_OPS: usize = 1_000;
/// Bytes of such a page.
pub const OPS_TAIL_MAX_BYTES: usize = 256 << 10;
/// Ops of a page that is read without changing threads.
pub const OPS_INLINE_MAX_OPS: usize = 50;
/// Bytes of such a page.
pub const OPS_INLINE_MAX_BYTES: usize = 64 << 10;
/// Bytes of bodies of ops that are decoded at once in a hub, and not yet committed (WEB-11).
pub const OPS_DECODED_MAX_BYTES: usize = 48 << 20;
/// Ops of a shim's push that are committed together (OPS-02).
pub const OPS_SHIM_GROUP_MAX_OPS: usize = 1_000;
/// Bytes of ops of a shim's push above which they are committed though there are fewer.
pub const OPS_SHIM_GROUP_MAX_BYTES: usize = 4 << 20;
/// How many times the largest foreign op an element of a shim's push may have; beyond it the push is refused.
pub const OPS_SHIM_ELEMENT_FACTOR: usize = 2;
/// Bytes of a shim's pull that are read at once.
pub const OPS_SHIM_PART_BYTES: usize = 256 << 10;
/// Snapshots of logs that are made at once in a hub.
pub const OPS_SNAPSHOTS_AT_ONCE: usize = 2;
/// How long a further one waits for its turn before it is refused.
pub const OPS_SNAPSHOT_WAIT_MAX_MS: u64 = 10_000;
/// How often the wall clock is looked at while ops wait in quarantine for their time (OPS-10).
pub const OPS_RELEASE_CHECK_MS: u64 = 5_000;
/// When ops are looked at again whose time had come while the database was busy.
pub const OPS_RELEASE_AGAIN_MS: i64 = 5_000;
/// Ops that leave a quarantine in one commit.
pub const OPS_RELEASED_AT_ONCE: usize = 500;
/// Databases whose quarantines are looked at at once.
pub const OPS_RELEASES_AT_ONCE: usize = 8;
/// How often a log is compacted.
pub const OPS_COMPACT_EVERY_MS: i64 = 24 * 3600 * 1000;
/// Ops that one step of a compaction drops, or of a purge forgets, in a commit of its own.
pub const OPS_COMPACTED_AT_ONCE: usize = 1_000;
/// Body of an admin's call to a log of ops.
pub const OPS_ADMIN_BODY_MAX_BYTES: usize = 64 << 10;

/// Tables, views and collections of a declared schema.
pub const FUNCTIONS_SCHEMA_OBJECTS_MAX: usize = 1000;
/// Columns of a declared table, or of an index.
pub const FUNCTIONS_SCHEMA_COLUMNS_MAX: usize = 500;
/// Indexes of a declared schema.
pub const FUNCTIONS_SCHEMA_INDEXES_MAX: usize = 2000;
/// Checks of a declared table.
pub const FUNCTIONS_SCHEMA_CHECKS_MAX: usize = 100;
/// Fields of a declared collection: columns of its view.
pub const FUNCTIONS_SCHEMA_FIELDS_MAX: usize = RECORDS_VIEW_MAX_COLUMNS;
/// A name in a declared schema.
pub const FUNCTIONS_SCHEMA_NAME_MAX_BYTES: usize = 128;
/// A piece of SQL in a declared schema: a default, a check, a view.
pub const FUNCTIONS_SCHEMA_SQL_MAX_BYTES: usize = 64 << 10;
/// Decisions that come with a plan or a deployment.
pub const FUNCTIONS_SCHEMA_HINTS_MAX: usize = 1000;
/// Deployments of functions that a database keeps.
pub const FUNCTIONS_DEPLOYMENTS_KEPT: usize = 10;
/// Backups before deployments that a database keeps.
pub const FUNCTIONS_BACKUPS_KEPT: usize = 10;
