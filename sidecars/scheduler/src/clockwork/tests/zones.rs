//! The hours at which clocks are changed.

use super::world::World;

const NIGHTLY: [(&str, &str); 2] = [("cron-schedule", "30 2 * * *"), ("cron-timezone", "Europe/Berlin")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nightly_run_is_neither_missing_nor_twice_when_clocks_are_changed() {
    let world = World::new('z', "03-29T12:00:00").await;
    world.apply("report", &NIGHTLY).await;
    let _scheduler = world.start().await;
    world.until_at("report", "30 2 * * *", "03-29T12:00:00").await;
    // 02:30 does not exist in this night: it fires at 03:00 of summer time.
    world.clock.set("03-30T01:00:01");
    let spring = "succeeded 30 01:00";
    world.until("report", &[spring]).await;
    world.clock.set("03-31T00:30:01");
    world.until("report", &["succeeded 31 00:30", spring]).await;
    // 02:30 exists twice in the night of 26 October: it fires at the first.
    world.clock.set("10-26T00:30:01");
    let autumn = ["succeeded 26 00:30", "skipped 01 00:30–25 00:30 208 missed", "succeeded 31 00:30", spring];
    world.until("report", &autumn).await;
    world.clock.set("10-26T01:30:01");
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    world.clock.set("10-27T01:30:01");
    let [first, second, third, fourth] = autumn;
    world.until("report", &["succeeded 27 01:30", first, second, third, fourth]).await;
    assert_eq!(world.engine.calls("report").len(), 4);
}
