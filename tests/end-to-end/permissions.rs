//! `permissions_get` and `permissions_set`, as a client sees them: by the enclave's owner, the tentacle's, members, those who
//! were, others and the bearer.

use futures::future::join_all;
use serde_json::{Value, json};
use tentacular_test_harness::mcp::Mcp;

use crate::enclaves::world::{Person, Team, bearer, soon, soon_refused};

/// A team with one more member, whose first member has a tentacle.
struct Report {
    team: Team,
    colleague: Person,
}

impl Report {
    async fn new(prefix: &str) -> anyhow::Result<Self> {
        let (team, colleague) = tokio::try_join!(Box::pin(Team::new(prefix)), Box::pin(Person::new("colleague")))?;
        team.sync(&team.owner.here, json!({ "add_members": [colleague.email] })).await?;
        team.apply(&team.member.here, "report").await?;
        Ok(Self { team, colleague })
    }

    fn about(&self, mut more: Value) -> Value {
        more["enclave"] = json!(self.team.enclave);
        more["name"] = json!("report");
        more
    }

    async fn get(&self, mcp: &Mcp) -> anyhow::Result<Value> {
        soon(mcp, "permissions_get", self.about(json!({}))).await
    }

    async fn set(&self, mcp: &Mcp, more: Value) -> anyhow::Result<Value> {
        soon(mcp, "permissions_set", self.about(more)).await
    }

    async fn refusal(&self, mcp: &Mcp, tool: &str, more: Value) -> anyhow::Result<String> {
        mcp.refusal(tool, self.about(more)).await
    }
}

/// What somebody may do, by letters: r, w, x, and o for own.
fn may(letters: &str) -> Value {
    let may = |letter| letters.contains(letter);
    json!({ "read": may('r'), "write": may('w'), "execute": may('x'), "own": may('o') })
}

#[tokio::test]
async fn e2e_permissions_are_shown_to_who_may_read_and_set_by_the_two_owners_and_the_bearer() -> anyhow::Result<()> {
    let (report, bearer) = tokio::try_join!(Report::new("shown"), bearer())?;
    let Report { team, colleague } = &report;
    let (owner, member) = (&team.owner, &team.member);
    for (mcp, role, class, may) in [
        (&owner.there, "owner", json!("owner"), may("rwxo")),
        (&member.there, "member", json!("owner"), may("rwxo")),
        (&colleague.there, "member", json!("member"), may("rx")),
        (&bearer, "bearer", Value::Null, may("rwxo")),
    ] {
        let seen = report.get(mcp).await?;
        let expected = json!({
            "name": "report", "enclave": team.enclave, "owner": member.email, "owner_sub": member.sub,
            "mode": "rwxr-x---", "preset": "member-read", "enclave_owner": owner.email, "enclave_mode": "rwxrwx---",
            "enclave_preset": "member-edit", "enclave_status": "active", "caller_role": role, "caller_may": may,
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&seen[name], value, "{role} {name}: {seen}");
        }
        assert_eq!(seen["caller_class"], class, "{role}: {seen}");
    }
    let refusal = report.refusal(&team.other.here, "permissions_get", json!({})).await?;
    assert!(refusal.starts_with("permission denied: read on ") && refusal.contains("for other"), "{refusal}");
    for mcp in [&colleague.here, &team.other.here, &team.other.there] {
        for more in [json!({ "mode": "open-run" }), json!({ "owner_email": colleague.email })] {
            let refusal = report.refusal(mcp, "permissions_set", more).await?;
            assert!(refusal.starts_with("permission denied: own on "), "{refusal}");
        }
    }
    let modes = [(&owner.here, "private"), (&member.there, "rwxr-x--x"), (&bearer, "member-run")];
    for (mcp, mode) in modes {
        let set = report.set(mcp, json!({ "mode": mode })).await?;
        assert_eq!(set["changed"][0]["what"], "mode", "{set}");
        assert_eq!(report.get(&owner.here).await?["mode"], set["mode"]);
        let again = report.set(mcp, json!({ "mode": mode })).await?;
        assert_eq!(again["changed"], json!([]), "{again}");
    }
    // member-run: the colleague may run it and not look at it.
    let refusal = soon_refused(&colleague.here, "permissions_get", report.about(json!({}))).await?;
    assert!(refusal.contains("needs r for member, mode is rwx--x---"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn e2e_permissions_of_a_tentacle_end_with_the_membership() -> anyhow::Result<()> {
    let (report, bearer) = tokio::try_join!(Report::new("former"), bearer())?;
    let Report { team, colleague } = &report;
    // The bearer alone makes somebody an owner who is no member; that gives them nothing.
    for mcp in [&team.owner.here, &team.member.here] {
        let refusal = report.refusal(mcp, "permissions_set", json!({ "owner_email": team.other.email })).await?;
        assert!(refusal.contains("neither owns enclave") && refusal.contains("enclave_sync"), "{refusal}");
    }
    let given = report.set(&bearer, json!({ "owner_email": team.other.email, "owner_sub": team.other.sub })).await?;
    assert_eq!((&given["owner"], &given["owner_sub"]), (&json!(team.other.email), &json!(team.other.sub)));
    for (tool, more) in [("permissions_get", json!({})), ("permissions_set", json!({ "mode": "open-run" }))] {
        let refusal = report.refusal(&team.other.there, tool, more).await?;
        assert!(refusal.starts_with("permission denied: "), "{tool}: {refusal}");
    }
    let back = report.set(&team.owner.here, json!({ "owner_email": team.member.email })).await?;
    assert_eq!(back["owner"], team.member.email);
    // Known by the address alone now, the member still owns it, until the membership ends.
    report.set(&team.member.there, json!({ "mode": "member-edit" })).await?;
    team.sync(&team.owner.here, json!({ "remove_members": [team.member.email] })).await?;
    for (tool, more) in [("permissions_get", json!({})), ("permissions_set", json!({ "mode": "open-run" }))] {
        let refusal = match tool {
            "permissions_get" => soon_refused(&team.member.here, tool, report.about(more)).await?,
            _ => report.refusal(&team.member.here, tool, more).await?,
        };
        assert!(refusal.starts_with("permission denied: "), "{tool}: {refusal}");
    }
    let seen = report.get(&colleague.here).await?;
    assert_eq!((&seen["owner"], &seen["mode"]), (&json!(team.owner.email), &json!("rwxrwx---")), "{seen}");
    Ok(())
}

#[tokio::test]
async fn e2e_permissions_the_enclaves_owner_adopts_what_nobody_owns() -> anyhow::Result<()> {
    let (team, bearer) = tokio::try_join!(Team::new("adopted"), bearer())?;
    team.apply(&bearer, "report").await?;
    let report = Report { colleague: Person::new("colleague").await?, team };
    let team = &report.team;
    let nobodys = report.get(&bearer).await?;
    assert_eq!((&nobodys["owner"], &nobodys["owner_sub"]), (&json!(""), &json!("")));
    for (tool, more) in
        [("permissions_get", json!({})), ("permissions_set", json!({ "owner_email": team.member.email }))]
    {
        let refusal = soon_refused(&team.member.here, tool, report.about(more)).await?;
        assert!(refusal.ends_with("resource has no owner"), "{tool}: {refusal}");
    }
    let adopted = report.set(&team.owner.there, json!({ "owner_email": team.owner.email })).await?;
    assert_eq!(
        adopted["changed"],
        json!([
            { "what": "owner", "from": "", "to": team.owner.email },
            { "what": "owner_sub", "from": "", "to": team.owner.sub },
        ])
    );
    let given =
        report.set(&team.owner.here, json!({ "owner_email": team.member.email, "mode": "member-edit" })).await?;
    assert_eq!(
        (&given["owner"], &given["mode"], &given["preset"]),
        (&json!(team.member.email), &json!("rwxrwx---"), &json!("member-edit"))
    );
    report.set(&team.member.there, json!({ "mode": "private" })).await?;
    // What it is stays when somebody else applies it.
    team.apply(&team.owner.here, "report").await?;
    let seen = report.get(&team.member.here).await?;
    assert_eq!((&seen["owner"], &seen["mode"]), (&json!(team.member.email), &json!("rwx------")));
    Ok(())
}

#[tokio::test]
async fn e2e_permissions_every_preset_is_a_mode_and_what_is_wrong_changes_nothing() -> anyhow::Result<()> {
    let report = Report::new("presets").await?;
    let owner = &report.team.owner;
    let before = report.get(&owner.here).await?;
    for (more, part) in [
        (json!({ "mode": "777" }), "rwx"),
        (json!({ "mode": "everybody", "owner_email": owner.email }), "everybody"),
        (json!({ "owner_email": "nobody" }), "nobody"),
        (json!({ "owner_email": report.colleague.email, "owner_sub": "guessed" }), "leave out owner_sub"),
        (json!({}), "there is nothing to change: give mode, owner_email or owner_sub"),
        (json!({ "group": "team" }), "unknown field `group`"),
    ] {
        let refusal = report.refusal(&owner.here, "permissions_set", more).await?;
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    assert_eq!(report.get(&owner.here).await?, before);
    for (given, mode, preset) in [
        ("private", "rwx------", "private"),
        ("group-read", "rwxr-x---", "member-read"),
        ("member-read", "rwxr-x---", "member-read"),
        ("group-run", "rwx--x---", "member-run"),
        ("member-run", "rwx--x---", "member-run"),
        ("group-edit", "rwxrwx---", "member-edit"),
        ("member-edit", "rwxrwx---", "member-edit"),
        ("public-read", "rwxr--r--", "public-read"),
        ("open-read", "rwxrwxr--", "open-read"),
        ("open-run", "rwxrwxr-x", "open-run"),
    ] {
        let set = report.set(&owner.there, json!({ "mode": given })).await?;
        assert_eq!((&set["mode"], &set["preset"]), (&json!(mode), &json!(preset)), "{given}");
    }
    let missing = json!({ "enclave": report.team.enclave, "name": "missing" });
    let refusal = owner.here.refusal("permissions_get", missing).await?;
    assert!(refusal.contains("missing"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn e2e_permissions_mode_and_owner_set_at_two_registrars_at_once_are_both_kept() -> anyhow::Result<()> {
    let report = Report::new("both").await?;
    let Report { team, colleague } = &report;
    let rounds = [("private", &colleague.email), ("open-run", &team.member.email), ("public-read", &colleague.email)];
    for (mode, email) in rounds {
        let (set_mode, set_owner) = (json!({ "mode": mode }), json!({ "owner_email": email }));
        let calls = [report.set(&team.owner.here, set_mode), report.set(&team.owner.there, set_owner)];
        for set in join_all(calls).await {
            assert_ne!(set?["changed"], json!([]));
        }
        let seen = report.get(&team.owner.here).await?;
        assert_eq!((&seen["preset"], &seen["owner"]), (&json!(mode), &json!(email)), "{seen}");
    }
    Ok(())
}
