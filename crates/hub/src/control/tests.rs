use std::path::Path;

use super::ControlConfig;
use crate::config::Signup;

pub(super) fn config(dir: &Path) -> ControlConfig {
    ControlConfig {
        data_dir: dir.to_owned(),
        dev: false,
        session_key: None,
        session_ttl_seconds: 86_400,
        sync_token_ttl_seconds: 3_600,
        max_sync_token_ttl_seconds: 7_200,
        signup: Signup::Open,
        argon2_memory_kib: 8,
        argon2_iterations: 1,
        argon2_parallelism: 1,
        password_concurrency: 2,
        rate_limit_scale: 0.0,
        max_databases_per_org: 10_000,
        auto_migrate: true,
        trash_retention_days: 7,
        audit_retention_days: 400,
    }
}
