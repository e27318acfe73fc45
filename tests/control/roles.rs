//! Roles: what each may do; a change has effect at once.

use ferry_testkit::{
    frames::Frame,
    socket::{Event, Socket},
    token::attenuate,
    wait,
};
use serde_json::json;

use super::team::Team;
use crate::support::refused;

fn open(team: &Team, token: &str) -> Socket {
    let mut socket = Socket::open(team.hub.address(), token).unwrap();
    socket.send(&Frame::hello(0));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    socket
}

// Verifies: ORG-04
#[test]
fn a_viewer_reads_a_member_writes_an_admin_manages() {
    let team = Team::new("viewer");
    let create = || team.member.ferry("CreateDatabase", &json!({"name": "more", "org": team.org}));
    let delete = || team.member.ferry("DeleteDatabase", &json!({"databaseId": team.database}));
    team.mint(&["read"]).unwrap();
    team.member.ferry("ListDatabases", &json!({"org": "team"})).unwrap();
    refused(team.mint(&["write"]).map(Into::into), "permission_denied");
    refused(create(), "permission_denied");

    team.set_role("member");
    team.mint(&["read", "write"]).unwrap();
    refused(team.mint(&["admin"]).map(Into::into), "permission_denied");
    refused(create(), "permission_denied");
    refused(delete(), "permission_denied");
    for (method, request) in [
        ("ListMembers", json!({"org": team.org})),
        ("SetMemberRole", json!({"org": team.org, "userId": "bob@example.com", "role": "admin"})),
        ("RemoveMember", json!({"org": team.org, "userId": "ada@example.com"})),
        ("CreateInvitation", json!({"org": team.org, "email": "eve@example.com", "role": "viewer"})),
        ("ListInvitations", json!({"org": team.org})),
        ("ListAuditEvents", json!({"org": team.org})),
        ("RenameOrg", json!({"org": team.org, "name": "mine"})),
        ("DeleteOrg", json!({"org": team.org})),
        ("RevokeDatabaseTokens", json!({"database": team.database})),
    ] {
        let refusal = refused(team.member.ferry(method, &request), "permission_denied");
        assert!(refusal.message.contains("admin"), "{method}: {refusal:?}");
    }

    team.set_role("admin");
    team.mint(&["admin"]).unwrap();
    create().unwrap();
    delete().unwrap();
}

// Verifies: ORG-05, TOK-13
#[test]
fn a_demotion_ends_the_write_stream_at_once_and_the_token_still_reads() {
    let team = Team::new("member");
    let token = team.mint(&["read", "write"]).unwrap();
    // Copies of one token: the hub asks for one direction per socket.
    let (write, read) = (attenuate(&token, &["op=write"]), attenuate(&token, &["op=read"]));
    let (mut writes, mut reads) = (open(&team, &write), open(&team, &read));
    let (took, ending) = wait::timed(|| {
        team.set_role("viewer");
        writes.ending()
    });
    assert_eq!((ending.code, ending.reason.as_str()), (1008, "token revoked"), "{ending:?}");
    assert!(took < wait::PROMPT, "closed after {took:?}");
    assert_eq!(team.role(), "viewer");
    reads.send(&Frame::Complete);
    assert_eq!(reads.ending().code, 1000, "a reader goes on");
    drop(open(&team, &token));
    let refusal = Socket::open(team.hub.address(), &write).unwrap_err();
    assert_eq!(refusal.status, 403, "{}", refusal.text());

    // The role of today counts upwards too.
    team.set_role("member");
    drop(open(&team, &write));
}

// Verifies: ORG-05, ORG-07, TOK-12
#[test]
fn a_removed_member_loses_sockets_tokens_and_listings() {
    let mut team = Team::new("member");
    let token = team.mint(&["read"]).unwrap();
    let mut sockets: Vec<Socket> = (0..10).map(|_| open(&team, &token)).collect();
    let (took, endings) = wait::timed(|| {
        team.remove_member().unwrap();
        sockets.iter_mut().map(Socket::ending).collect::<Vec<_>>()
    });
    for ending in endings {
        assert_eq!((ending.code, ending.reason.as_str()), (1008, "token revoked"), "{ending:?}");
    }
    assert!(took < wait::PROMPT, "closed after {took:?}");
    let gone = refused(team.member.ferry("GetDatabase", &json!({"database": team.database})), "not_found");
    assert_eq!(gone.message, "database not found");
    refused(team.member.ferry("ListDatabases", &json!({"org": team.org})), "not_found");
    assert_eq!(team.role(), "");
    // Over a crash, and after coming back: what was minted before stays revoked.
    team.hub.kill();
    let team = team.restarted_with(|options| options);
    assert_eq!(Socket::open(team.hub.address(), &token).unwrap_err().status, 401);
    let code = super::team::invite(&team.admin, &team.org, &team.member.email, "viewer");
    team.member.ferry("AcceptInvitation", &json!({"code": code})).unwrap();
    assert_eq!(Socket::open(team.hub.address(), &token).unwrap_err().status, 401);
    assert!(Socket::open(team.hub.address(), &team.mint(&["read"]).unwrap()).is_ok());
}
