//! A shared organisation with one database, its admin and a further member.

use ferry_testkit::{
    Hub, Session,
    hub::Options,
    rpc::{FERRY, PASSWORD, Refusal, call},
};
use serde_json::{Value, json};

use crate::support::hub;

pub(crate) struct Team {
    pub(crate) hub: Hub,
    pub(crate) admin: Session,
    pub(crate) member: Session,
    /// Id of the organisation.
    pub(crate) org: String,
    /// Id of its database `app`.
    pub(crate) database: String,
}

/// The field `name` of an answer as text; empty if it is missing.
pub(crate) fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_default().to_owned()
}

/// The rows of a list, all of its pages.
pub(crate) fn rows(user: &Session, method: &str, name: &str, request: &Value) -> Vec<Value> {
    let (mut rows, mut request) = (Vec::new(), request.clone());
    loop {
        let answer = user.ferry(method, &request).unwrap_or_else(|refusal| panic!("{method}: {refusal:?}"));
        rows.extend(answer[name].as_array().cloned().unwrap_or_default());
        match answer["nextPageToken"].as_str() {
            None | Some("") => return rows,
            Some(token) => request["pageToken"] = json!(token),
        }
    }
}

/// Makes an invitation and gives its code.
pub(crate) fn invite(admin: &Session, org: &str, email: &str, role: &str) -> String {
    let request = json!({"org": org, "email": email, "role": role});
    let code = text(&admin.ferry("CreateInvitation", &request).unwrap(), "code");
    assert!(!code.is_empty());
    code
}

/// Signs up with a code.
pub(crate) fn signup_invited(hub: &Hub, email: &str, code: &str) -> Result<Session, Refusal> {
    let request = json!({"email": email, "password": PASSWORD, "inviteCode": code});
    let answer = call(hub.address(), FERRY, "Signup", &request, None)?;
    Ok(Session { address: hub.address(), token: text(&answer, "sessionToken"), email: email.to_owned() })
}

impl Team {
    pub(crate) fn new(role: &str) -> Self {
        Self::of(hub(), role)
    }

    pub(crate) fn of(hub: Hub, role: &str) -> Self {
        let admin = hub.signup("ada@example.com");
        let org = text(&admin.ferry("CreateOrg", &json!({"name": "team"})).unwrap(), "id");
        let created = admin.ferry("CreateDatabase", &json!({"name": "app", "org": org})).unwrap();
        let code = invite(&admin, &org, "bob@example.com", role);
        let member = signup_invited(&hub, "bob@example.com", &code).unwrap();
        Self { hub, admin, member, org, database: text(&created, "id") }
    }

    pub(crate) fn restarted_with(self, change: impl FnOnce(Options) -> Options) -> Self {
        let hub = self.hub.restart_with(change);
        let (admin, member) = (self.admin.at(hub.address()), self.member.at(hub.address()));
        Self { hub, admin, member, ..self }
    }

    /// Gives the member another role.
    pub(crate) fn set_role(&self, role: &str) {
        let request = json!({"org": self.org, "userId": self.member.email, "role": role});
        self.admin.ferry("SetMemberRole", &request).unwrap();
    }

    pub(crate) fn remove_member(&self) -> Result<Value, Refusal> {
        self.admin.ferry("RemoveMember", &json!({"org": self.org, "userId": self.member.email}))
    }

    /// A token of the member for the team's database.
    pub(crate) fn mint(&self, ops: &[&str]) -> Result<String, Refusal> {
        let request = json!({"databaseId": self.database, "models": ["pages"], "ops": ops});
        self.member.ferry("IssueSyncToken", &request).map(|answer| text(&answer, "token"))
    }

    /// The member's role in the team as the member's own list shows it; empty: none.
    pub(crate) fn role(&self) -> String {
        let orgs = rows(&self.member, "ListOrgs", "orgs", &json!({}));
        orgs.iter().find(|org| org["id"] == *self.org).map(|org| text(org, "role")).unwrap_or_default()
    }
}
