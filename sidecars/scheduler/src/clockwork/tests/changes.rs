//! Tentacles that change, and runs that take their time.

use k8s_openapi::api::core::v1::Event;
use tentacular_cluster::Selector;

use super::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_goes_on_keeps_the_next_from_being_fired_unless_it_may_not() {
    let world = World::new('w', "03-10T12:00:00").await;
    for (tentacle, overlap) in [("alone", "skip"), ("beside", "allow")] {
        world.apply(tentacle, &[("cron-schedule", "* * * * *"), ("cron-overlap", overlap)]).await;
    }
    let scheduler = world.start().await;
    for tentacle in ["alone", "beside"] {
        world.until_at(tentacle, "* * * * *", "03-10T12:00:00").await;
    }
    world.engine.hold(true);
    world.clock.set("03-10T12:01:00");
    world.until("alone", &["claimed 10 12:01"]).await;
    world.until("beside", &["claimed 10 12:01"]).await;
    world.clock.set("03-10T12:02:00");
    world.until("alone", &["skipped 10 12:02 1 before", "claimed 10 12:01"]).await;
    world.until("beside", &["claimed 10 12:02", "claimed 10 12:01"]).await;
    world.clock.set("03-10T12:03:00");
    world.until("alone", &["skipped 10 12:02–10 12:03 2 before", "claimed 10 12:01"]).await;
    world.until("beside", &["claimed 10 12:03", "claimed 10 12:02", "claimed 10 12:01"]).await;
    world.engine.hold(false);
    world.until("alone", &["skipped 10 12:02–10 12:03 2 before", "succeeded 10 12:01"]).await;
    world.clock.set("03-10T12:04:00");
    let three = ["succeeded 10 12:04", "skipped 10 12:02–10 12:03 2 before", "succeeded 10 12:01"];
    world.until("alone", &three).await;
    scheduler.stop().await;
    assert_eq!((world.engine.calls("alone").len(), world.engine.calls("beside").len()), (2, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tentacle_that_was_removed_and_is_there_again_counts_from_then_on() {
    let world = World::new('v', "03-10T12:00:00").await;
    let annotations = [("cron-schedule", "* * * * *"), ("cron-missed", "once")];
    world.apply("report", &annotations).await;
    let _scheduler = world.start().await;
    world.until_at("report", "* * * * *", "03-10T12:00:00").await;
    world.clock.set("03-10T12:01:00");
    world.until("report", &["succeeded 10 12:01"]).await;
    world.remove("report").await;
    // When a later change is taken up, so is this.
    world.apply("canary", &[("cron-schedule", "@yearly")]).await;
    world.until_at("canary", "@yearly", "03-10T12:01:00").await;
    world.clock.set("03-10T12:10:30");
    world.apply("report", &annotations).await;
    world.until_at("report", "* * * * *", "03-10T12:10:30").await;
    world.clock.set("03-10T12:11:00");
    world.until("report", &["succeeded 10 12:11", "succeeded 10 12:01"]).await;
    assert_eq!(world.engine.calls("report").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_is_changed_counts_from_then_on_also_under_its_old_name() {
    let world = World::new('p', "03-10T12:00:00").await;
    world.apply("report", &[("cron-schedule", "daily=0 14 * * *"), ("cron-missed", "once")]).await;
    let _scheduler = world.start().await;
    world.until_at("report", "daily", "03-10T12:00:00").await;
    world.clock.set("03-10T14:00:00");
    world.until("report", &["succeeded 10 14:00"]).await;
    world.clock.set("03-11T12:30:00");
    // 10:00 has passed today, and 14:00 yesterday was the last.
    world.annotate("report", &[("cron-schedule", "daily=0 10 * * *")]).await;
    world.until_at("report", "daily", "03-11T12:30:00").await;
    // In this zone, 10:00 is 09:00 in UTC, and passed as well.
    world.clock.set("03-11T12:31:00");
    world.annotate("report", &[("cron-timezone", "Europe/Berlin")]).await;
    world.until_at("report", "daily", "03-11T12:31:00").await;
    world.clock.set("03-12T09:00:00");
    world.until("report", &["succeeded 12 09:00", "succeeded 10 14:00"]).await;
    world.clock.set("03-12T13:00:00");
    world.annotate("report", &[("cron-schedule", "daily=0 12 * * *")]).await;
    world.until_at("report", "daily", "03-12T13:00:00").await;
    assert_eq!(world.engine.calls("report").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mistake_in_one_schedule_is_told_on_the_deployment_and_stops_no_other() {
    let world = World::new('o', "03-10T12:00:00").await;
    world.apply("report", &[("cron-schedule", "wrong=61 * * * *,right=* * * * *")]).await;
    let _scheduler = world.start().await;
    world.until_at("report", "right", "03-10T12:00:00").await;
    let events = world.admin.namespaced::<Event>(world.enclave.as_str()).list(&Selector::default()).await.unwrap();
    let told: Vec<_> = events.iter().filter(|event| event.reason.as_deref() == Some("InvalidSchedule")).collect();
    let [event] = told[..] else { panic!("{told:?}") };
    assert_eq!(event.involved_object.name.as_deref(), Some("report"));
    assert!(event.message.as_deref().is_some_and(|message| message.contains("\"61\" is no minute")), "{event:?}");
    world.clock.set("03-10T12:01:00");
    world.until("report", &["succeeded 10 12:01"]).await;
}
