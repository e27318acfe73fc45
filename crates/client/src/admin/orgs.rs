//! What calls about organisations add to their RPC.

use connectrpc::client::UnaryResponse;
use ferry_types::Code;

use super::{AdminClient, LIST_PAGE_ROWS, rpc};
use crate::{ClientError, ClientErrorCode, Result};

impl AdminClient {
    /// The one of the user's organisations that has this id or name.
    ///
    /// # Errors
    /// The hub's refusal, or no answer; not found; a name that two of them have.
    pub async fn org_named(&self, text: &str) -> Result<rpc::Org> {
        let orgs = self.list_orgs(rpc::ListOrgsRequest::default()).await?;
        let mut found = orgs.into_iter().filter(|org| org.id == text || org.name == text);
        match (found.next(), found.next()) {
            (Some(org), None) => Ok(org),
            (Some(_), Some(_)) => Err(ClientError::argument(format!(
                "you belong to more than one organisation named {text}: name it by its id, as ferry org list shows it"
            ))),
            (None, _) => Err(ClientError::new(
                ClientErrorCode::Table(Code::NotFound),
                "NOT_FOUND",
                format!("organisation not found: {text}; see: ferry org list"),
            )),
        }
    }

    /// The newest `rows_max` rows of the audit trail that the request asks for.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn audit_events(
        &self,
        mut request: rpc::ListAuditEventsRequest,
        rows_max: usize,
    ) -> Result<Vec<rpc::AuditEvent>> {
        let mut events = Vec::new();
        while events.len() < rows_max {
            let wanted = i32::try_from(rows_max - events.len()).unwrap_or(i32::MAX);
            request.page_size = wanted.min(LIST_PAGE_ROWS);
            let answer = self.rpc.list_audit_events(request.clone()).await.map(UnaryResponse::into_owned);
            let answer = self.checked(answer)?;
            events.extend(answer.events);
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        Ok(events)
    }
}
