//! Where backups go: whether all that a hub needs of it works there (OPR-06).

use ferry_backup::{TargetCheck, check_target, open_target};
use ferry_hub::config::Config;

use super::{Findings, Level};

/// Tries each target with an object that it removes again.
pub(super) async fn check(config: &Config, findings: &mut Findings) {
    for url in &config.backup.targets {
        let (url, access) = (url.clone(), config.backup.access.clone());
        let tried = tokio::task::spawn_blocking(move || {
            let tried = open_target(&url, &access).and_then(|target| check_target(&*target));
            match tried.map(|checks| checks.into_iter().find_map(TargetCheck::failed)) {
                Ok(None) => (Level::Ok, format!("{url} can be written, read and removed from")),
                Ok(Some(error)) | Err(error) => (Level::Fail, error.to_string()),
            }
        });
        let (level, text) = tried.await.unwrap_or_else(|error| (Level::Fail, error.to_string()));
        findings.add(level, "backup target", text);
    }
}
