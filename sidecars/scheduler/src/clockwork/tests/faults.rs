//! The API server goes away, a leader is left behind, a claim is left open.

use std::{sync::Arc, time::Duration};

use tentacular_contract::{
    TentacleName,
    cron::{self, Splits},
};
use tentacular_test_harness::fault_proxy::{Call, Fault};
use tokio::sync::Mutex;

use super::{
    outside::{TestClock, time},
    world::{LONG, World},
};
use crate::{
    clock::Clock as _,
    clockwork::{
        Looks, Place, Timetable,
        kept::{Kept, Seen, Since},
    },
    ledger::{Claim, Firing, Ledgers, ScheduleId},
    run::RunId,
};

const MINUTELY: [(&str, &str); 1] = [("cron-schedule", "* * * * *")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_minute_without_the_api_server_it_goes_on_where_it_was() {
    let world = World::new('u', "03-10T12:00:00").await;
    world.apply("report", &MINUTELY).await;
    let scheduler = world.start().await;
    world.until_at("report", "* * * * *", "03-10T12:00:00").await;
    world.engine.hold(true);
    world.clock.set("03-10T12:01:00");
    // A claim whose answer is lost would be made after the outage, and the next instant come while it still goes on.
    world.until_asked("report", 1).await;
    world.until("report", &["claimed 10 12:01"]).await;

    world.proxy.set_up(false).await.unwrap();
    // The run ends while nobody can be told, and an instant passes.
    world.engine.hold(false);
    for second in [20, 40, 60] {
        world.clock.set(&format!("03-10T12:0{}:{:02}", 1 + second / 60, second % 60));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(world.runs("report").await, ["claimed 10 12:01"]);
    world.proxy.set_up(true).await.unwrap();
    // What fails at first is tried again after some seconds, which are to pass before the next instant.
    let goes_on = async {
        for tenth in 0..590 {
            world.clock.set(&format!("03-10T12:02:{:02}.{}", tenth / 10, tenth % 10));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let wanted = ["succeeded 10 12:02", "succeeded 10 12:01"];
    tokio::select! {
        () = world.until("report", &wanted) => {}
        () = goes_on => world.until("report", &wanted).await,
    }
    assert_eq!(world.engine.calls("report").len(), 2);
    scheduler.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stood_still_and_believes_to_lead_fires_nothing_after_another_and_is_told_so() {
    let world = World::new('k', "03-10T12:00:00").await;
    world.apply("report", &MINUTELY).await;
    let still = TestClock::at("03-10T12:00:00");
    let (one, other) = (world.watch_by(&still).await, world.watch().await);
    let (old, new) = (one.forged(5), other.forged(6));
    let old = tokio::spawn(async move { old.turn(&mut Looks::default()).await });
    world.until_at("report", "* * * * *", "03-10T12:00:00").await;
    still.set("03-10T12:01:00");
    world.until("report", &["succeeded 10 12:01"]).await;

    world.clock.set("03-10T12:01:00");
    let new = tokio::spawn(async move { new.turn(&mut Looks::default()).await });
    let mut wanted = vec!["succeeded 10 12:01"];
    for (minute, run) in [("03-10T12:02:00", "succeeded 10 12:02"), ("03-10T12:03:00", "succeeded 10 12:03")] {
        world.clock.set(minute);
        wanted.insert(0, run);
        world.until("report", &wanted).await;
    }
    // Now the other goes on where it stood.
    still.set("03-10T12:02:00");
    let fenced = tokio::time::timeout(Duration::from_mins(1), old).await.expect("it is told").unwrap();
    assert_eq!(
        (fenced, world.runs("report").await, world.engine.calls("report").len()),
        (6, wanted.into_iter().map(str::to_owned).collect(), 3)
    );
    let held = world.ledger("report").await;
    let terms: Vec<_> = held.book().runs().filter_map(|run| run.term).collect();
    assert_eq!(terms, [6, 6, 5]);
    new.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_run_that_a_leader_still_ends_the_next_fires_nothing_that_is_to_run_alone() {
    let world = World::new('e', "03-10T12:00:00").await;
    world.apply("report", &MINUTELY).await;
    let one = world.start().await;
    world.until_at("report", "* * * * *", "03-10T12:00:00").await;
    world.engine.hold(true);
    world.clock.set("03-10T12:01:00");
    world.until("report", &["claimed 10 12:01"]).await;
    let ending = tokio::spawn(one.stop());
    let other = world.start().await;
    other.leads(&world).await;
    world.clock.set("03-10T12:02:00");
    let skipped = "skipped 10 12:02 1 before";
    world.until("report", &[skipped, "claimed 10 12:01"]).await;
    world.engine.hold(false);
    world.until("report", &[skipped, "succeeded 10 12:01"]).await;
    ending.await.unwrap();
    world.clock.set("03-10T12:03:00");
    world.until("report", &["succeeded 10 12:03", skipped, "succeeded 10 12:01"]).await;
    assert_eq!(world.engine.calls("report").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_off_by_a_clock_that_was_ahead_is_due_when_it_is_set_right() {
    let world = World::new('g', "03-10T12:00:00").await;
    world.apply("report", &MINUTELY).await;
    let _scheduler = world.start().await;
    world.until_at("report", "* * * * *", "03-10T12:00:00").await;
    let writes = |call: &Call| call.is_write() && call.resource() == "configmaps";
    world.proxy.fail(0..1, writes, Fault::Status(403, None));
    world.clock.set("03-11T12:00:30");
    tokio::time::timeout(LONG, world.proxy.until(|call| call.struck)).await.expect("it is looked at");
    world.clock.set("03-10T12:01:00");
    world.until("report", &["succeeded 10 12:01"]).await;
}

/// The claim of an hourly schedule for noon, as a leader leaves it that was killed.
fn claim(world: &World, tentacle: &TentacleName) -> Claim {
    let Ok(Splits::One(schedules)) = cron::parse("@hourly") else { panic!("@hourly") };
    let instant = time("03-10T12:00:00");
    Claim {
        id: RunId::of(cron::run_id(&world.enclave, tentacle, &schedules[0], instant)),
        at: world.clock.time(),
        deadline: time("03-10T12:10:30"),
        by: String::new(),
        firing: Some(Firing {
            schedule: ScheduleId::new("@hourly"),
            trigger: None,
            instant,
            term: 1,
            lateness_ms: 0,
            again: false,
            alone: true,
        }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_was_left_open_is_closed_and_made_again_only_where_that_is_wanted() {
    let world = World::new('j', "03-10T12:00:00").await;
    for (tentacle, missed) in [("skipping", "skip"), ("catching", "once")] {
        world.apply(tentacle, &[("cron-schedule", "@hourly"), ("cron-missed", missed)]).await;
        let (ledgers, tentacle) = (Ledgers::new(world.admin.clone()), tentacle.parse().unwrap());
        let claim = claim(&world, &tentacle);
        let mut held = ledgers.load(&world.enclave, &tentacle).await.unwrap();
        ledgers.change(&mut held, Duration::ZERO, |book| book.claim(&claim)).await.unwrap();
    }
    let _scheduler = world.start().await;
    for tentacle in ["skipping", "catching"] {
        world.until(tentacle, &["interrupted 10 12:00"]).await;
    }
    assert!(world.engine.calls("catching").is_empty(), "its maker may still be at it");
    world.clock.set("03-10T12:10:31");
    world.until("catching", &["succeeded 10 12:00"]).await;
    world.clock.set("03-10T13:00:00");
    world.until("catching", &["succeeded 10 13:00", "succeeded 10 12:00"]).await;
    world.until("skipping", &["succeeded 10 13:00", "interrupted 10 12:00"]).await;
    assert_eq!((world.engine.calls("skipping").len(), world.engine.calls("catching").len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_tentacle_of_the_name_left_open_is_not_made_again_by_one_that_is_new() {
    let world = World::new('d', "03-10T12:00:00").await;
    world.apply("report", &[("cron-schedule", "@hourly"), ("cron-missed", "once")]).await;
    let scheduler = world.watch().await;
    let (ledgers, tentacle) = (Ledgers::new(world.admin.clone()), "report".parse().unwrap());
    let mut held = ledgers.load(&world.enclave, &tentacle).await.unwrap();
    let claim = claim(&world, &tentacle);
    ledgers.change(&mut held, Duration::ZERO, |book| book.claim(&claim)).await.unwrap();
    world.clock.set("03-10T12:30:00");
    for (begins, calls) in [(Some(Since::New(world.clock.time())), 0), (None, 1)] {
        let held = ledgers.load(&world.enclave, &tentacle).await.unwrap();
        let place = Place { enclave: world.enclave.clone(), tentacle: tentacle.clone() };
        let pairs = ["cron-schedule=@hourly", "cron-missed=once"].map(|pair| pair.split_once('=').unwrap());
        let relevant = pairs.map(|(key, value)| (format!("tentacular.io/{key}"), value.to_owned())).into();
        let timetable = Timetable::read((&place.enclave, &place.tentacle), &relevant, None);
        let seen = Seen { uid: "uid".to_owned(), generation: None, relevant };
        let since = begins.map(|since| (ScheduleId::new("@hourly"), since)).into_iter().collect();
        let kept = Arc::new(Kept::new(place, 1, seen, timetable, Arc::new(Mutex::new(held)), since));
        let lead = scheduler.forged(2);
        lead.look_after(&kept).await;
        lead.runs.tasks.close();
        lead.runs.tasks.wait().await;
        assert_eq!(world.engine.calls("report").len(), calls, "{begins:?}");
    }
}
