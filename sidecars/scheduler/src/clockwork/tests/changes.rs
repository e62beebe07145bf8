//! Tentacles that change, and runs that take their time.

use k8s_openapi::api::core::v1::Event;
use tentacular_cluster::Selector;
use tentacular_test_harness::fault_proxy::{Call, Fault};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_one_tentacle_that_never_end_leave_room_for_those_of_others() {
    let world = World::new('a', "03-10T12:00:00").await;
    world.apply("hanging", &[("cron-schedule", "@every 1s"), ("cron-overlap", "allow")]).await;
    let _scheduler = world.start().await;
    world.until_at("hanging", "@every 1s", "03-10T12:00:00").await;
    world.engine.hold(true);
    for second in 1..=25 {
        world.clock.set(&format!("03-10T12:00:{second:02}"));
        world.until_newest("hanging", "@every 1s").await;
    }
    world.until_asked("hanging", 20).await;
    let runs = world.runs("hanging").await;
    assert_eq!((runs.len(), &runs[0][..]), (21, "skipped 10 12:00–10 12:00 5 before"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tentacle_that_is_going_is_fired_no_more() {
    let world = World::new('b', "03-10T12:00:00").await;
    for tentacle in ["going", "staying"] {
        world.apply(tentacle, &[("cron-schedule", "* * * * *")]).await;
    }
    let _scheduler = world.start().await;
    for tentacle in ["going", "staying"] {
        world.until_at(tentacle, "* * * * *", "03-10T12:00:00").await;
    }
    world.hold_back("going").await;
    world.remove("going").await;
    // When a later change is taken up, so is this.
    world.apply("canary", &[("cron-schedule", "@yearly")]).await;
    world.until_at("canary", "@yearly", "03-10T12:00:00").await;
    world.clock.set("03-10T12:01:00");
    world.until("staying", &["succeeded 10 12:01"]).await;
    world.clock.set("03-10T12:02:00");
    world.until("staying", &["succeeded 10 12:02", "succeeded 10 12:01"]).await;
    assert!(world.engine.calls("going").is_empty() && world.runs("going").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_of_an_enclave_are_not_those_of_one_that_is_made_again_in_its_name() {
    let world = World::new('c', "03-10T12:00:00").await;
    world.apply("report", &[("cron-schedule", "* * * * *")]).await;
    let _scheduler = world.start().await;
    world.until_at("report", "* * * * *", "03-10T12:00:00").await;

    // Nobody sees that it goes, and then its Deployments cannot be listed.
    world.proxy.set_up(false).await.unwrap();
    world.remove_enclave().await;
    world.make_enclave(&world.enclave).await;
    let enclave = world.enclave.to_string();
    let deployments =
        move |call: &Call| call.resource() == "deployments" && call.namespace() == Some(enclave.as_str());
    world.proxy.fail(0..usize::MAX, deployments, Fault::Status(503, None));
    world.proxy.set_up(true).await.unwrap();
    let other = format!("{}-2", world.enclave).parse().unwrap();
    world.make_enclave(&other).await;
    world.apply_in(&other, "canary", &[("cron-schedule", "@every 1s")]).await;
    world.until_at_in(&other, "canary", "@every 1s", "03-10T12:00:00").await;
    for second in 0..=3 {
        world.clock.set(&format!("03-10T12:01:{second:02}"));
        world.until_at_in(&other, "canary", "@every 1s", &format!("03-10T12:01:{second:02}")).await;
    }
    assert!(world.engine.calls("report").is_empty() && world.runs("report").await.is_empty());
}
