//! The queue within this process, and how a refusal reads.

use super::*;

fn entries(turns: &Turns) -> usize {
    turns.0.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn turns_are_taken_one_after_the_other_for_each_lease() {
    let turns = Turns::default();
    let first = turns.take("team-a", "report").await;
    let _other = timeout(Duration::from_secs(1), turns.take("team-b", "report")).await.unwrap();
    let _another = timeout(Duration::from_secs(1), turns.take("team-a", "ledger")).await.unwrap();
    assert!(timeout(Duration::from_secs(1), turns.take("team-a", "report")).await.is_err());
    drop(first);
    timeout(Duration::from_secs(1), turns.take("team-a", "report")).await.unwrap();
}

#[tokio::test]
async fn turns_that_nobody_uses_are_forgotten() {
    let turns = Turns::default();
    for number in 0..10 {
        drop(turns.take("team-a", &number.to_string()).await);
    }
    let _held = turns.take("team-a", "held").await;
    drop(turns.take("team-a", "last").await);
    assert_eq!(entries(&turns), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_of_anothers_lease_is_remembered_for_a_while() {
    let turns = Turns::default();
    *turns.take("team-a", "report").await = Some(Seen::now("7"));
    sleep(REMEMBERED / 2).await;
    assert_eq!(turns.take("team-a", "report").await.as_ref().map(Seen::age), Some(REMEMBERED / 2));
    sleep(REMEMBERED).await;
    assert_eq!(*turns.take("team-a", "report").await, None);
}

#[test]
fn a_refusal_says_how_long_the_lock_is_held() {
    let busy = |held| LockError::Busy { lease: "team-a/x".to_owned(), held, waited: Duration::from_secs(10) };
    assert_eq!(
        busy(Some(Duration::from_secs(12))).to_string(),
        "team-a/x has been locked by another call for 12 s and did not become free within 10 s"
    );
    assert_eq!(busy(None).to_string(), "team-a/x is locked by another call and did not become free within 10 s");
}
