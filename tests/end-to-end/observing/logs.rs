//! `wf_logs`, from what a kubelet answers the API server.

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use serde_json::{Value, json};

use super::world::{HIDDEN, OPEN, World, container_logs, lines, restricted};

/// Lets a container of a tentacle's pod write lines, each so many seconds ago.
async fn write(world: &World, pod: &str, container: &str, told: &[(i64, &str)]) -> anyhow::Result<()> {
    let now = Timestamp::now();
    for (ago, line) in told {
        let at = Timestamp::from_millisecond(now.as_millisecond() - ago * 1000)?;
        container_logs().await?.write(&world.team.enclave, pod, container, at, line);
    }
    Ok(())
}

#[tokio::test]
async fn e2e_observe_logs_of_all_containers_are_in_the_order_of_time() -> anyhow::Result<()> {
    let world = World::new("logs").await?;
    let pod = world.pod(OPEN).await?;
    write(&world, &pod, "engine", &[(500, "first"), (300, "third"), (20, "  last")]).await?;
    write(&world, &pod, "thumbs", &[(400, "second"), (30, "fourth")]).await?;
    let engine = format!("[{pod}/engine]");
    let thumbs = format!("[{pod}/thumbs]");
    let all = [
        format!("{engine} first"),
        format!("{thumbs} second"),
        format!("{engine} third"),
        format!("{thumbs} fourth"),
        format!("{engine}   last"),
    ];
    for place in [json!({ "name": OPEN }), json!({ "pod": pod }), json!({ "name": OPEN, "pod": pod })] {
        let answer = world.ask(world.member(), "wf_logs", place).await?;
        assert_eq!(lines(&answer), all);
        assert_eq!((&answer["pod"], &answer["truncated"]), (&json!(pod), &json!(false)));
        assert!(answer.get("container").is_none() && answer["untrusted"].is_string(), "{answer}");
    }
    let mut asked = json!({ "name": OPEN, "tail_lines": 2 });
    let answer = world.ask(world.member(), "wf_logs", asked.clone()).await?;
    assert_eq!((lines(&answer), &answer["truncated"]), (vec![&*all[3], &*all[4]], &json!(true)));
    let sources =
        json!([{ "pod": pod, "container": "engine", "lines": 1 }, { "pod": pod, "container": "thumbs", "lines": 1 }]);
    assert_eq!(answer["sources"], sources);
    asked = json!({ "name": OPEN, "since_seconds": 100 });
    assert_eq!(lines(&world.ask(world.member(), "wf_logs", asked).await?), [&*all[3], &*all[4]]);
    asked = json!({ "pod": pod, "container": "engine" });
    let answer = world.ask(world.member(), "wf_logs", asked.clone()).await?;
    assert_eq!((lines(&answer), &answer["container"]), (vec!["first", "third", "  last"], &json!("engine")));
    asked["timestamps"] = json!(true);
    let answer = world.ask(world.member(), "wf_logs", asked).await?;
    let (time, line) = lines(&answer)[0].split_once(' ').unwrap();
    assert!(time.parse::<Timestamp>().is_ok() && line == "first", "{answer}");
    Ok(())
}

#[tokio::test]
async fn e2e_observe_the_newest_lines_win_under_the_cap() -> anyhow::Result<()> {
    let world = World::new("cap").await?;
    let pod = world.pod(OPEN).await?;
    let long = "x ".repeat(1000);
    for number in 0..2000 {
        container_logs().await?.write(
            &world.team.enclave,
            &pod,
            "engine",
            Timestamp::from_second(1_700_000_000 + number)?,
            &format!("{number} {long}"),
        );
    }
    let asked = json!({ "pod": pod, "container": "engine", "tail_lines": 10_000 });
    let answer = world.ask(world.owner(), "wf_logs", asked).await?;
    let shown = lines(&answer);
    assert!(shown.last().unwrap().starts_with("1999 "));
    let bytes: usize = shown.iter().map(|line| line.len()).sum();
    assert!((900_000..=1024 * 1024).contains(&bytes) && answer["truncated"] == true, "{bytes} bytes");
    let first: usize = shown[0].split(' ').next().unwrap().parse()?;
    assert_eq!(first + shown.len(), 2000, "none of the newest is missing");
    Ok(())
}

#[tokio::test]
async fn e2e_observe_logs_of_the_container_that_ran_before() -> anyhow::Result<()> {
    let world = World::new("before").await?;
    let pod = world.pod(OPEN).await?;
    write(&world, &pod, "engine", &[(9, "it broke")]).await?;
    let asked = json!({ "pod": pod, "container": "engine", "previous": true });
    let refusal = world.refusal(world.owner(), "wf_logs", asked.clone()).await?;
    assert!(
        refusal.contains("previous terminated container \"engine\"") && refusal.contains("not found"),
        "{refusal}"
    );
    container_logs().await?.restart(&world.team.enclave, &pod, "engine");
    write(&world, &pod, "engine", &[(1, "once more")]).await?;
    assert_eq!(lines(&world.ask(world.owner(), "wf_logs", asked).await?), ["it broke"]);
    // The other container has not been started again, which is no reason to show nothing.
    let answer = world.ask(world.owner(), "wf_logs", json!({ "name": OPEN, "previous": true })).await?;
    assert_eq!(lines(&answer), ["it broke"]);
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(warning.contains("container thumbs: ") && warning.contains("not found"), "{warning}");
    Ok(())
}

#[tokio::test]
async fn e2e_observe_logs_need_read_on_the_tentacle() -> anyhow::Result<()> {
    let world = World::new("whose").await?;
    let (open, hidden) = (world.pod(OPEN).await?, world.pod(HIDDEN).await?);
    write(&world, &hidden, "engine", &[(1, "for the owner")]).await?;
    let asked = json!({ "pod": hidden, "container": "engine" });
    assert_eq!(lines(&world.ask(world.owner(), "wf_logs", asked.clone()).await?), ["for the owner"]);
    let text = async |pod: &str, more: Value| -> anyhow::Result<String> {
        let mut asked = json!({ "pod": pod });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Ok(world.refusal(world.member(), "wf_logs", asked).await?.replace(pod, "<pod>"))
    };
    // Whether it exists does not show.
    let absent = text("nothing-here", json!({})).await?;
    assert_eq!(absent, format!("there is no pod {}/<pod> that you may read; wf_pods lists them", world.team.enclave));
    assert_eq!(text(&hidden, json!({})).await?, absent);
    assert_eq!(text(&hidden, json!({ "container": "nothing" })).await?, absent);
    assert_eq!(text(&hidden, json!({ "name": OPEN })).await?, absent, "another tentacle's");
    for (asked, part) in [
        (json!({ "name": HIDDEN }), "permission denied: read on tentacle"),
        (json!({}), "give the name of a tentacle, or a pod"),
        (json!({ "pod": open, "container": "x" }), "has no container \"x\": choose one of engine, thumbs"),
        (json!({ "name": OPEN, "container": "x" }), "none of its pods has a container \"x\""),
        (json!({ "pod": "../../secrets/x" }), "is no name"),
        (json!({ "pod": open, "tail_lines": 0 }), "tail_lines 0 is out of range: give 1 to 10000"),
        (json!({ "pod": open, "since_seconds": 0 }), "since_seconds 0 is out of range"),
    ] {
        let refusal = world.refusal(world.member(), "wf_logs", asked).await?;
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_observe_a_log_is_data_with_credentials_masked() -> anyhow::Result<()> {
    let world = World::new("mask").await?;
    let pod = world.pod(OPEN).await?;
    let told = [
        (4, "\u{1b}[32mconnect\u{1b}[0m to postgres://ann:hunter2@db/x"),
        (3, "{\"level\":\"info\",\"api_key\":\"hunter2\",\"tokens\":12}"),
        (2, "evil\u{202e}txt\u{200b} Authorization: Bearer hunter2"),
        (1, "plain"),
    ];
    write(&world, &pod, "engine", &told).await?;
    let answer = world.ask(world.owner(), "wf_logs", json!({ "pod": pod, "container": "engine" })).await?;
    let expected = [
        "connect to postgres://ann:***@db/x",
        "{\"level\":\"info\",\"api_key\":\"***\",\"tokens\":12}",
        "eviltxt Authorization: ***",
        "plain",
    ];
    assert_eq!(lines(&answer), expected);
    Ok(())
}

#[tokio::test]
async fn e2e_observe_a_pod_that_never_ran_says_why_it_has_no_log() -> anyhow::Result<()> {
    let world = World::empty("unplaced").await?;
    let mut spec = restricted(&["main"]);
    spec["schedulingGates"] = json!([{ "name": "example.com/held" }]);
    world.create::<Pod>(json!({ "metadata": { "name": "held" }, "spec": spec })).await?;
    let answer = world.ask(world.owner(), "wf_logs", json!({ "pod": "held" })).await?;
    assert_eq!(lines(&answer), [""; 0]);
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("pod held has no log: it cannot be placed on a node: SchedulingGated"), "{warning}");
    Ok(())
}
