//! Organisations, members, invitations and the audit trail on the wire.

use ferry_control::{
    AcceptInvitation, Access, AuditEvent, AuditRows, CreateInvitation, CreateOrg, DeleteOrg, Invitation,
    ListAuditEvents, ListHubAuditEvents, ListInvitations, ListMembers, ListOrgs, Member, RemoveMember,
    RenameOrg, RevokeInvitation, SetMemberRole,
};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Result};

use crate::rpc::{Call, messages::org};

fn member(member: Member) -> wire::Member {
    wire::Member {
        user_id: member.user_id.to_string(),
        email: member.email,
        role: member.role.to_string(),
        joined_unix: member.joined.as_secs(),
        ..Default::default()
    }
}

/// `code` is empty but in the answer that created it.
fn invitation(invitation: Invitation, code: String) -> wire::Invitation {
    wire::Invitation {
        id: invitation.id.to_string(),
        email: invitation.email,
        role: invitation.role.to_string(),
        exp_unix: invitation.exp_unix,
        code,
        ..Default::default()
    }
}

fn audit_event(event: AuditEvent) -> wire::AuditEvent {
    wire::AuditEvent {
        id: event.id,
        at_unix: event.at.as_secs(),
        request_id: event.request_id,
        actor: event.actor,
        action: event.action,
        target: event.target,
        outcome: event.outcome,
        ip: event.ip,
        detail_json: event.detail_json,
        ..Default::default()
    }
}

pub(super) async fn create_org(call: &Call<'_>, request: wire::CreateOrgRequest) -> Result<wire::Org, Error> {
    let caller = call.session(Access::Full)?;
    Ok(org(CreateOrg { caller: &caller, name: &request.name, origin: &call.origin }
        .run(&call.control.db)
        .await?))
}

pub(super) async fn list_orgs(
    call: &Call<'_>,
    request: wire::ListOrgsRequest,
) -> Result<wire::ListOrgsResponse, Error> {
    let caller = call.session(Access::Read)?;
    let (rows, next_page_token) =
        ListOrgs { caller: &caller, page_size: request.page_size, page_token: &request.page_token }
            .run(&call.control.db)?;
    let orgs = rows.into_iter().map(org).collect();
    Ok(wire::ListOrgsResponse { orgs, next_page_token, ..Default::default() })
}

pub(super) async fn rename_org(
    call: &Call<'_>,
    request: wire::RenameOrgRequest,
) -> Result<wire::RenameOrgResponse, Error> {
    let caller = call.session(Access::Full)?;
    RenameOrg { caller: &caller, org: &request.org, name: &request.name, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(wire::RenameOrgResponse::default())
}

pub(super) async fn delete_org(
    call: &Call<'_>,
    request: wire::DeleteOrgRequest,
) -> Result<wire::DeleteOrgResponse, Error> {
    let caller = call.session(Access::Full)?;
    DeleteOrg { caller: &caller, org: &request.org, origin: &call.origin }.run(&call.control.db).await?;
    Ok(wire::DeleteOrgResponse::default())
}

pub(super) async fn list_members(
    call: &Call<'_>,
    request: wire::ListMembersRequest,
) -> Result<wire::ListMembersResponse, Error> {
    let caller = call.session(Access::Read)?;
    let wire::ListMembersRequest { org, page_size, page_token, .. } = &request;
    let (rows, next_page_token) =
        ListMembers { caller: &caller, org, page_size: *page_size, page_token }.run(&call.control.db).await?;
    let members = rows.into_iter().map(member).collect();
    Ok(wire::ListMembersResponse { members, next_page_token, ..Default::default() })
}

pub(super) async fn set_member_role(
    call: &Call<'_>,
    request: wire::SetMemberRoleRequest,
) -> Result<wire::SetMemberRoleResponse, Error> {
    let caller = call.session(Access::Full)?;
    let wire::SetMemberRoleRequest { org, user_id, role, .. } = &request;
    SetMemberRole { caller: &caller, org, user: user_id, role, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(wire::SetMemberRoleResponse::default())
}

pub(super) async fn remove_member(
    call: &Call<'_>,
    request: wire::RemoveMemberRequest,
) -> Result<wire::RemoveMemberResponse, Error> {
    let caller = call.session(Access::Full)?;
    RemoveMember { caller: &caller, org: &request.org, user: &request.user_id, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(wire::RemoveMemberResponse::default())
}

pub(super) async fn create_invitation(
    call: &Call<'_>,
    request: wire::CreateInvitationRequest,
) -> Result<wire::Invitation, Error> {
    let caller = call.session(Access::Full)?;
    let wire::CreateInvitationRequest { org, email, role, .. } = &request;
    let made = CreateInvitation { caller: &caller, org, email, role, origin: &call.origin }
        .run(&call.control.accounts)
        .await?;
    Ok(wire::Invitation { mailed: made.is_mailed, ..invitation(made.invitation, made.code) })
}

pub(super) async fn list_invitations(
    call: &Call<'_>,
    request: wire::ListInvitationsRequest,
) -> Result<wire::ListInvitationsResponse, Error> {
    let caller = call.session(Access::Read)?;
    let wire::ListInvitationsRequest { org, page_size, page_token, .. } = &request;
    let (rows, next_page_token) = ListInvitations { caller: &caller, org, page_size: *page_size, page_token }
        .run(&call.control.db)
        .await?;
    let invitations = rows.into_iter().map(|row| invitation(row, String::new())).collect();
    Ok(wire::ListInvitationsResponse { invitations, next_page_token, ..Default::default() })
}

pub(super) async fn revoke_invitation(
    call: &Call<'_>,
    request: wire::RevokeInvitationRequest,
) -> Result<wire::RevokeInvitationResponse, Error> {
    let caller = call.session(Access::Full)?;
    RevokeInvitation { caller: &caller, id: &request.id, origin: &call.origin }.run(&call.control.db).await?;
    Ok(wire::RevokeInvitationResponse::default())
}

pub(super) async fn accept_invitation(
    call: &Call<'_>,
    request: wire::AcceptInvitationRequest,
) -> Result<wire::Org, Error> {
    let caller = call.session(Access::Full)?;
    Ok(org(AcceptInvitation { caller: &caller, code: &request.code, origin: &call.origin }
        .run(&call.control.db)
        .await?))
}

pub(super) async fn list_audit_events(
    call: &Call<'_>,
    request: wire::ListAuditEventsRequest,
) -> Result<wire::ListAuditEventsResponse, Error> {
    let wire::ListAuditEventsRequest { org, since_unix, action, hub, page_size, page_token, .. } = &request;
    let rows = AuditRows { since_unix: *since_unix, action, page_size: *page_size, page_token };
    let listed = if *hub {
        call.operator()?;
        ListHubAuditEvents { rows }.run(&call.control.db).await?
    } else {
        let caller = call.session(Access::Read)?;
        ListAuditEvents { caller: &caller, org, rows }.run(&call.control.db).await?
    };
    let (rows, next_page_token) = listed;
    let events = rows.into_iter().map(audit_event).collect();
    Ok(wire::ListAuditEventsResponse { events, next_page_token, ..Default::default() })
}
