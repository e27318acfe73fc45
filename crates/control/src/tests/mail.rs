//! The outbox: what is claimed, when again, and under which keys.

use super::*;
use crate::mail::WAITING_MAX;

async fn mailing() -> Fixture {
    Fixture::with(|config| config.mail = Some(MailPolicy { require_verified: false })).await
}

/// The same, with its limits.
async fn mailing_with_limits() -> Fixture {
    Fixture::with(|config| {
        config.mail = Some(MailPolicy { require_verified: false });
        config.rate_limit_scale = 1.0;
    })
    .await
}

async fn claim(hub: &Fixture) -> Vec<WaitingMail> {
    let mut claimed = Vec::new();
    while let Some(mail) = ClaimMail.run(&hub.control.db).await.unwrap() {
        claimed.push(mail);
    }
    claimed
}

async fn login(hub: &Fixture, email: &str) -> Caller {
    let login = LogIn { email, password: PASSWORD, label: "", origin: &origin() };
    let session = login.run(&hub.control.accounts).await.unwrap();
    hub.caller(&session.token).unwrap()
}

async fn forgot(hub: &Fixture, email: &str) {
    RequestPasswordReset { email, origin: &origin() }.run(&hub.control.accounts).await.unwrap();
}

async fn waiting(hub: &Fixture) -> u64 {
    LookAtOutbox.run(&hub.control.db).await.unwrap().waiting
}

// Verifies: OPR-91
#[tokio::test]
async fn a_claimed_mail_comes_again_until_it_is_sent() {
    let hub = mailing().await;
    hub.signup("ada@example.com").await;
    let first = claim(&hub).await;
    assert_eq!((first.len(), first[0].kind, first[0].tries), (1, MailKind::Verify, 1));
    assert!(claim(&hub).await.is_empty(), "not at once");
    hub.clock.advance_secs(59);
    assert!(claim(&hub).await.is_empty());
    hub.clock.advance_secs(1);
    let again = claim(&hub).await;
    // The code of a mail that was sent after all, and that of the next, both work: they are one.
    assert_eq!((again[0].code.clone(), again[0].tries), (first[0].code.clone(), 2));
    MailSent { mail: &again[0] }.run(&hub.control.db).await.unwrap();
    assert_eq!(waiting(&hub).await, 0);
    // What was settled already, by a try that ended late, is not settled twice.
    MailRefused { mail: &again[0], status: Some(550) }.run(&hub.control.db).await.unwrap();
    VerifyEmail { code: again[0].code.as_deref().unwrap(), origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
}

// Verifies: OPR-91, OPR-92
#[tokio::test]
async fn nobody_is_mailed_whom_it_no_longer_concerns() {
    let hub = mailing().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let sent = claim(&hub).await;
    let code = sent[0].code.clone().unwrap();
    MailSent { mail: &sent[0] }.run(&hub.control.db).await.unwrap();
    VerifyEmail { code: &code, origin: &origin() }.run(&hub.control.accounts).await.unwrap();
    // There is no such account; the invitation was taken back.
    forgot(&hub, "nobody@example.com").await;
    let org = CreateOrg { caller: &ada, name: "team", origin: &origin() }.run(&hub.control.db).await.unwrap();
    let org = org.id.to_string();
    let made = CreateInvitation {
        caller: &ada,
        org: &org,
        email: "bob@example.com",
        role: "member",
        origin: &origin(),
    }
    .run(&hub.control.accounts)
    .await
    .unwrap();
    assert!(made.is_mailed);
    let id = made.invitation.id.to_string();
    RevokeInvitation { caller: &ada, id: &id, origin: &origin() }.run(&hub.control.db).await.unwrap();
    assert_eq!(waiting(&hub).await, 2);
    assert!(claim(&hub).await.is_empty());
    assert_eq!(waiting(&hub).await, 0);
}

// Whoever waits for an answer of somebody who got no mail reads in the own trail that there was none.
// Verifies: OPR-91
#[tokio::test]
async fn what_is_given_up_is_told_to_those_whom_it_concerns() {
    let hub = mailing().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let verify = claim(&hub).await.remove(0);
    VerifyEmail { code: verify.code.as_deref().unwrap(), origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let org = CreateOrg { caller: &ada, name: "team", origin: &origin() }.run(&hub.control.db).await.unwrap();
    let org = org.id.to_string();
    for email in ["bob@example.com", "eve@example.com"] {
        CreateInvitation { caller: &ada, org: &org, email, role: "member", origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .unwrap();
    }
    forgot(&hub, "ada@example.com").await;
    MailRefused { mail: &verify, status: Some(550) }.run(&hub.control.db).await.unwrap();
    let bob = claim(&hub).await.into_iter().find(|mail| mail.address == "bob@example.com").unwrap();
    MailRefused { mail: &bob, status: Some(550) }.run(&hub.control.db).await.unwrap();
    // The others wait for a day in vain.
    hub.clock.advance_secs(86_400);
    assert!(claim(&hub).await.is_empty());
    let trail = async |org: &str| {
        let listing = ListAuditEvents {
            caller: &ada,
            org,
            rows: AuditRows { since_unix: 0, action: "mail", page_size: 0, page_token: "" },
        };
        let (rows, _) = listing.run(&hub.control.db).await.unwrap();
        let mut rows: Vec<_> = rows.into_iter().map(|row| (row.target, row.outcome)).collect();
        rows.sort();
        rows
    };
    let row = |target: &str, outcome: &str| (target.to_owned(), outcome.to_owned());
    assert_eq!(trail(&org).await, [row("bob@example.com", "refused"), row("eve@example.com", "late")]);
    let of_ada = ada.user_id.to_string();
    assert_eq!(trail("").await, [row(&of_ada, "late"), row(&of_ada, "refused")]);
}

// Whoever signs up with the address of somebody else and changes the password again and again is no nuisance to that one.
// Verifies: OPR-92, OPR-93
#[tokio::test]
async fn an_address_gets_so_many_mails_of_changes() {
    let hub = mailing_with_limits().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let mut passwords = vec![PASSWORD.to_owned()];
    passwords.extend((0..5).map(|turn| format!("another password {turn}")));
    for pair in passwords.windows(2) {
        ChangePassword {
            caller: &ada,
            current: &pair[0],
            new: &pair[1],
            keep_other_sessions: true,
            origin: &origin(),
        }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    }
    let told = |mails: &[WaitingMail]| mails.iter().filter(|mail| mail.kind == MailKind::Changed).count();
    assert_eq!(told(&claim(&hub).await), 3);
    // Another account is told all the same, and this one again after an hour.
    let (_, bob) = hub.signup("bob@example.com").await;
    hub.clock.advance_secs(3_600);
    for (caller, current) in [(&bob, PASSWORD), (&ada, passwords.last().unwrap().as_str())] {
        ChangePassword { caller, current, new: "the last one", keep_other_sessions: true, origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .unwrap();
    }
    let new = claim(&hub).await.into_iter().filter(|mail| mail.tries == 1).collect::<Vec<_>>();
    assert_eq!(told(&new), 2);
}

// Whoever makes and deletes an account with the address of somebody else again and again fills no mailbox either, and neither
// does asking for more.
// Verifies: OPR-92, OPR-93
#[tokio::test]
async fn an_address_gets_so_many_mails_to_prove_it_whatever_account_asks() {
    let hub = mailing_with_limits().await;
    let mut mails = Vec::new();
    for _ in 0..5 {
        let (_, ada) = hub.signup("ada@example.com").await;
        mails.extend(claim(&hub).await);
        DeleteAccount {
            caller: &ada,
            confirm_email: "ada@example.com",
            password: PASSWORD,
            origin: &origin(),
        }
        .run(&hub.control.accounts, &hub.control.storage)
        .await
        .unwrap();
    }
    assert_eq!(mails.len(), 3);
    CreateUser { email: "ada@example.com", password: PASSWORD, origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    assert!(claim(&hub).await.is_empty());
    let session = login(&hub, "ada@example.com").await;
    let asked = RequestVerification { caller: &session, origin: &origin() };
    assert_eq!(asked.run(&hub.control.accounts).await.unwrap_err().reason, Reason::RateLimited);
    // Others are asked all the same, and this one again after an hour.
    hub.signup("bob@example.com").await;
    assert_eq!(claim(&hub).await.len(), 1);
    hub.clock.advance_secs(3_600);
    RequestVerification { caller: &session, origin: &origin() }.run(&hub.control.accounts).await.unwrap();
    let new: Vec<_> = claim(&hub).await.into_iter().filter(|mail| mail.tries == 1).collect();
    assert_eq!((new.len(), new[0].address.as_str()), (1, "ada@example.com"));
}

// What was an address when the account was made is still what it signs in by.
// Verifies: ORG-02
#[tokio::test]
async fn an_account_with_an_address_that_no_mail_goes_to_still_signs_in() {
    let hub = mailing().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let odd = "<a..b@x.com>";
    hub.control
        .db
        .write(move |transaction| {
            let sql = "UPDATE users SET email = ?1, email_key = ?1 WHERE email_key = 'ada@example.com'";
            transaction.connection().execute(sql, [odd])?;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(login(&hub, odd).await.user_id, ada.user_id);
    for refused in [
        SignUp { email: "c..d@x.com", password: PASSWORD, invite_code: "", origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .map(drop),
        CreateUser { email: "c..d@x.com", password: PASSWORD, origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .map(drop),
        CreateInvitation { caller: &ada, org: "", email: "c..d@x.com", role: "member", origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.reason, Reason::InvalidArgument);
        assert!(refused.message.contains("must look like"), "{refused:?}");
    }
}

// Verifies: OPR-91, TOK-10
#[tokio::test]
async fn what_waits_outlives_the_key_that_sealed_it() {
    let hub = mailing().await;
    hub.signup("ada@example.com").await;
    forgot(&hub, "ada@example.com").await;
    let (old, _) =
        ListSigningKeys { page_size: 0, page_token: "" }.run(&hub.control.signing_keys).await.unwrap();
    RotateSigningKey { origin: &origin() }.run(&hub.control.signing_keys).await.unwrap();
    let kid = format!("{:08x}", old[0].kid);
    RetireSigningKey { kid: &kid, origin: &origin() }.run(&hub.control.signing_keys).await.unwrap();
    let mut kinds: Vec<_> =
        claim(&hub).await.into_iter().map(|mail| (mail.kind, mail.code.is_some())).collect();
    kinds.sort();
    assert_eq!(kinds, [(MailKind::Verify, true), (MailKind::Reset, true)]);
}

// What a full outbox costs: a fault of the mail server must not become one of the hub.
// Verifies: OPR-91
#[tokio::test]
async fn ten_thousand_mails_wait_in_a_few_megabytes() {
    let hub = mailing().await;
    let asked = (0..WAITING_MAX).map(|number| {
        let control = Arc::clone(&hub.control);
        async move {
            let email = format!("{number}@example.com");
            RequestPasswordReset { email: &email, origin: &origin() }.run(&control.accounts).await
        }
    });
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_ok));
    let one_more = RequestPasswordReset { email: "more@example.com", origin: &origin() };
    assert_eq!(one_more.run(&hub.control.accounts).await.unwrap_err().reason, ferry_types::Reason::Busy);
    assert_eq!(waiting(&hub).await, WAITING_MAX as u64);
    let bytes: i64 = hub
        .control
        .db
        .read(|connection| {
            let sql = "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'outbox%'";
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert!(bytes < 8 << 20, "{bytes}");
    println!("{WAITING_MAX} mails: {bytes} bytes");
}
