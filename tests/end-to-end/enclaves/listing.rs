//! `enclave_list`: pages, filters, roles and counts.

use serde_json::{Value, json};
use tentacular_test_harness::until;

use super::world::{Person, Team, bearer};
use crate::support::unique;

/// The names on a page that begin so.
fn names(page: &Value, prefix: &str) -> Vec<String> {
    let entries = page["enclaves"].as_array().unwrap().iter();
    let names = entries.map(|entry| entry["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

#[tokio::test]
async fn e2e_enclave_a_list_has_pages_filters_and_the_callers_role() -> anyhow::Result<()> {
    let (ann, bob, eve) = tokio::try_join!(Person::new("ann"), Person::new("bob"), Person::new("eve"))?;
    let (bearer, prefix) = (bearer().await?, unique("page"));
    for (index, mode) in ["private", "member-read", "member-edit", "private"].into_iter().enumerate() {
        let arguments = json!({ "name": format!("{prefix}-{index}"), "mode": mode, "members": [bob.email] });
        ann.either(index).call("enclave_provision", arguments).await?;
    }
    let name = |index: usize| format!("{prefix}-{index}");
    ann.here.call("enclave_sync", json!({ "name": name(3), "new_status": "frozen" })).await?;

    // One at a time, as a client that shows pages does.
    let (mut seen, mut arguments) = (Vec::new(), json!({ "limit": 1 }));
    loop {
        let page = ann.there.call("enclave_list", arguments.clone()).await?;
        seen.extend(names(&page, &prefix));
        assert_eq!(page["truncated"], json!(page.get("next_cursor").is_some()), "{page}");
        let Some(cursor) = page.get("next_cursor") else { break };
        arguments["cursor"] = cursor.clone();
    }
    assert_eq!(seen, [0, 1, 2, 3].map(name));
    let page = ann.there.call("enclave_list", json!({ "limit": 500 })).await?;
    assert_eq!(page["total"], page["enclaves"].as_array().unwrap().len(), "{page}");
    let all = page["enclaves"].as_array().unwrap();
    for (index, mode, preset, status) in [
        (0, "rwx------", "private", "active"),
        (1, "rwxr-x---", "member-read", "active"),
        (3, "rwx------", "private", "frozen"),
    ] {
        let entry = all.iter().find(|entry| entry["name"] == name(index)).unwrap();
        let expected = json!({
            "enclave": name(index), "owner": ann.email, "members": [bob.email], "mode": mode, "preset": preset,
            "status": status, "caller_role": "owner", "tentacle_count": 0, "default_mode": "rwxr-x---",
        });
        for (member, value) in expected.as_object().unwrap() {
            assert_eq!(&entry[member], value, "{member}: {entry}");
        }
    }
    let list = async |person: &Person, arguments: Value| person.here.call("enclave_list", arguments).await;
    let everything = json!({ "limit": 500 });
    assert_eq!(names(&list(&bob, everything.clone()).await?, &prefix), [name(1), name(2)]);
    assert_eq!(names(&list(&eve, everything).await?, &prefix), [""; 0]);
    // What somebody else could see is shown to the bearer alone.
    let as_bob = json!({ "limit": 500, "caller_email": bob.email.to_uppercase() });
    assert_eq!(names(&list(&eve, as_bob.clone()).await?, &prefix), [""; 0]);
    assert_eq!(names(&bearer.call("enclave_list", as_bob).await?, &prefix), [name(1), name(2)]);
    for (status, expected) in
        [("frozen", vec![name(3)]), ("active", vec![name(0), name(1), name(2)]), ("provisioning", vec![])]
    {
        let listed = list(&ann, json!({ "limit": 500, "status": status })).await?;
        assert_eq!(names(&listed, &prefix), expected, "{status}");
    }
    for (arguments, part) in [
        (json!({ "status": "gone" }), "valid values: provisioning, active, frozen"),
        (json!({ "limit": 0 }), "limit 0 is out of range: give 1 to 500"),
        (json!({ "limit": 501 }), "limit 501 is out of range"),
        (json!({ "cursor": "../x" }), "cursor: give next_cursor"),
        (json!({ "page": 2 }), "unknown field `page`"),
    ] {
        let refusal = ann.here.refusal("enclave_list", arguments).await?;
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_enclave_there_are_as_many_tentacles_as_are_listed() -> anyhow::Result<()> {
    let team = Team::new("count").await?;
    for name in ["first", "second", "third"] {
        team.apply(&team.owner.here, name).await?;
    }
    team.owner.there.call("wf_remove", json!({ "enclave": team.enclave, "name": "second" })).await?;
    until("the list shows two", async || {
        // From a watch, which may be a moment behind.
        let listed = team.owner.here.call("wf_list", json!({ "enclave": team.enclave })).await?;
        let listed = listed["workflows"].as_array().unwrap().len();
        let page = team.owner.there.call("enclave_list", json!({ "limit": 500 })).await?;
        let entry = page["enclaves"].as_array().unwrap().iter().find(|entry| entry["name"] == team.enclave).cloned();
        let counts = (listed, entry.unwrap()["tentacle_count"].clone(), team.info().await?["tentacle_count"].clone());
        assert_eq!((&counts.1, &counts.2), (&json!(2), &json!(2)));
        anyhow::ensure!(counts.0 == 2, "wf_list shows {listed}");
        Ok(())
    })
    .await
}
