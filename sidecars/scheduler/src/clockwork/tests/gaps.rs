//! What becomes of instants that passed while nobody could fire them.

use super::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_without_a_leader_is_skipped_or_made_up_for_once() {
    let world = World::new('q', "03-10T12:00:00").await;
    for (tentacle, missed) in [("skipping", "skip"), ("catching", "once")] {
        world.apply(tentacle, &[("cron-schedule", "*/5 * * * *"), ("cron-missed", missed)]).await;
    }
    let scheduler = world.start().await;
    for tentacle in ["skipping", "catching"] {
        world.until_at(tentacle, "*/5 * * * *", "03-10T12:00:00").await;
    }
    world.clock.set("03-10T12:05:02");
    for tentacle in ["skipping", "catching"] {
        world.until(tentacle, &["succeeded 10 12:05"]).await;
    }
    scheduler.stop().await;

    world.clock.set("03-10T12:22:30");
    let scheduler = world.start().await;
    let [first, last] = ["skipped 10 12:10–10 12:20 3 missed", "succeeded 10 12:05"];
    world.until("skipping", &[first, last]).await;
    let [first, second] = ["succeeded 10 12:20", "skipped 10 12:10–10 12:15 2 missed"];
    world.until("catching", &[first, second, last]).await;
    assert_eq!((world.engine.calls("skipping").len(), world.engine.calls("catching").len()), (1, 2));

    // What is only late is fired by both.
    scheduler.stop().await;
    world.clock.set("03-10T12:25:59");
    let _scheduler = world.start().await;
    world.until("skipping", &["succeeded 10 12:25", "skipped 10 12:10–10 12:20 3 missed", last]).await;
    world.until("catching", &["succeeded 10 12:25", first, second, last]).await;
    let metrics = world.metrics.encode();
    for line in [
        "scheduler_leader 1",
        "schedule_fired_total 5",
        "schedule_lateness_seconds_sum 272.0",
        "schedule_lateness_seconds_count 5",
        "schedule_runs_total{outcome=\"succeeded\"} 5",
        "schedule_skipped_total{reason=\"missed\"} 5",
        "schedule_claims_lost_total 0",
    ] {
        assert!(metrics.lines().any(|shown| shown.ends_with(line)), "{line} is not in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fell_into_a_freeze_is_skipped_for_that_and_nothing_is_made_up_for() {
    let world = World::new('x', "03-10T12:00:00").await;
    world.apply("report", &[("cron-schedule", "* * * * *"), ("cron-missed", "once")]).await;
    let _scheduler = world.start().await;
    world.until_at("report", "* * * * *", "03-10T12:00:00").await;
    world.clock.set("03-10T12:01:00");
    world.until("report", &["succeeded 10 12:01"]).await;

    world.freeze(true).await;
    // When a later change is taken up, so is this.
    let other = format!("{}-2", world.enclave).parse().unwrap();
    world.make_enclave(&other).await;
    world.apply_in(&other, "canary", &[("cron-schedule", "@yearly")]).await;
    world.until_at_in(&other, "canary", "@yearly", "03-10T12:01:00").await;

    world.clock.set("03-10T12:06:30");
    world.freeze(false).await;
    let frozen = "skipped 10 12:02–10 12:06 5 frozen";
    world.until("report", &[frozen, "succeeded 10 12:01"]).await;
    world.clock.set("03-10T12:07:00");
    world.until("report", &["succeeded 10 12:07", frozen, "succeeded 10 12:01"]).await;
    assert_eq!(world.engine.calls("report").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tentacle_that_is_made_again_after_a_freeze_was_not_frozen() {
    let world = World::new('f', "03-10T12:00:00").await;
    let minutely = [("cron-schedule", "* * * * *")];
    world.apply("report", &minutely).await;
    let _scheduler = world.start().await;
    world.until_at("report", "* * * * *", "03-10T12:00:00").await;
    world.clock.set("03-10T12:01:00");
    world.until("report", &["succeeded 10 12:01"]).await;

    for (number, frozen) in [(2, true), (3, false)] {
        world.freeze(frozen).await;
        // When a later change is taken up, so is this.
        let other = format!("{}-{number}", world.enclave).parse().unwrap();
        world.make_enclave(&other).await;
        world.apply_in(&other, "canary", &[("cron-schedule", "@yearly")]).await;
        world.until_at_in(&other, "canary", "@yearly", "03-10T12:01:00").await;
        if frozen {
            world.remove("report").await;
        }
    }
    world.clock.set("03-10T12:10:30");
    world.apply("report", &minutely).await;
    world.until_at("report", "* * * * *", "03-10T12:10:30").await;
    assert_eq!(world.runs("report").await, ["succeeded 10 12:01"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_forward_and_back_fires_no_instant_twice() {
    let world = World::new('y', "03-10T12:00:00").await;
    world.apply("report", &[("cron-schedule", "* * * * *")]).await;
    let _scheduler = world.start().await;
    world.until_at("report", "* * * * *", "03-10T12:00:00").await;
    world.clock.set("03-10T12:01:00");
    world.until("report", &["succeeded 10 12:01"]).await;
    let forward = ["succeeded 10 12:11", "skipped 10 12:02–10 12:10 9 missed", "succeeded 10 12:01"];
    world.clock.set("03-10T12:11:00");
    world.until("report", &forward).await;
    for minute in 6..=11 {
        world.clock.set(&format!("03-10T12:{minute:02}:00"));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.clock.set("03-10T12:12:00");
    let [first, second, third] = forward;
    world.until("report", &["succeeded 10 12:12", first, second, third]).await;
    assert_eq!(world.engine.calls("report").len(), 3);
}
