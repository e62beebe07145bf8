//! A child ends with its owner, however the owner ends, and only it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tentacular_test_harness::{Program, Scratch};

/// Tells the helper below where to write what it started; without it the helper does nothing.
const REPORT: &str = "HARNESS_CHILD_REPORT";

#[tokio::test]
async fn it_reports_status_and_log() {
    let scratch = Scratch::new().unwrap();
    let log = scratch.path().join("log");
    let child = Program::new("/bin/sh")
        .args(["-c", "echo out $NAME; echo err >&2; cat; exit 3"])
        .env_clear()
        .env("NAME", "of it")
        .start(&log)
        .unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
    assert_eq!(child.log(), "out of it\nerr\n");
    assert!(!child.is_running());
    child.terminate().unwrap();
    child.kill().unwrap();
}

#[tokio::test]
async fn the_pid_is_the_programs_own() {
    let scratch = Scratch::new().unwrap();
    let child = Program::new("/bin/sh")
        .args(["-c", "trap 'exit 7' TERM; echo $$; while :; do sleep 0.01; done"])
        .start(&scratch.path().join("log"))
        .unwrap();
    until(|| child.log().ends_with('\n'));
    assert_eq!(child.log().trim(), child.pid().to_string());
    assert!(child.is_running());
    child.terminate().unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(7));
}

#[test]
fn it_is_gone_after_a_drop_outside_of_any_runtime() {
    let scratch = Scratch::new().unwrap();
    let child = Program::new("sleep").arg("1001").own_group().start(&scratch.path().join("log")).unwrap();
    let pid = child.pid();
    drop(child);
    assert!(is_gone(pid));
}

#[tokio::test]
async fn a_program_that_is_not_there_says_so() {
    let scratch = Scratch::new().unwrap();
    let child = Program::new("/no/such/program").start(&scratch.path().join("log")).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(127));
    assert!(child.log().contains("/no/such/program"), "{}", child.log());
}

#[tokio::test]
async fn nothing_watches_a_program_that_ended() {
    let scratch = Scratch::new().unwrap();
    // The watcher keeps the arguments of the shell that it came from, so this finds it.
    let marker = format!("marker-{}", std::process::id());
    let child = Program::new("/bin/sh")
        .args(["-c", "while ! [ -e \"$1\" ]; do sleep 0.01; done", &marker])
        .arg(scratch.path().join("end"))
        .start(&scratch.path().join("log"))
        .unwrap();
    until(|| processes_with(&marker) == 2);
    std::fs::write(scratch.path().join("end"), "").unwrap();
    assert!(child.wait().await.unwrap().success());
    until(|| processes_with(&marker) == 0);
}

#[tokio::test]
async fn a_program_that_was_paused_does_nothing_from_then_on() {
    let scratch = Scratch::new().unwrap();
    let busy = Program::new("sh").args(["-c", "while :; do :; done"]);
    let busy: Vec<_> = (0..8).map(|number| busy.start(&scratch.path().join(number.to_string())).unwrap()).collect();
    for child in busy.iter().cycle().take(400) {
        child.pause().unwrap();
        assert_eq!(state(child.pid()), Some('T'));
        child.resume().unwrap();
    }
    busy[0].pause().unwrap();
    busy[0].kill().unwrap();
    busy[0].wait().await.unwrap();
    busy[0].pause().unwrap();
}

#[test]
fn child_and_folder_go_when_their_owner_is_killed() {
    let scratch = Scratch::new().unwrap();
    let report = scratch.path().join("report");
    let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::owner_to_be_killed", "--nocapture"])
        .env(REPORT, &report)
        .spawn()
        .unwrap();
    until(|| report.exists());
    let text = std::fs::read_to_string(&report).unwrap();
    let (pid, folder) = text.split_once(' ').unwrap();
    let (pid, folder): (u32, PathBuf) = (pid.parse().unwrap(), folder.into());
    assert!(!is_gone(pid) && folder.is_dir());

    kill_process(Pid::from_child(&owner), Signal::KILL).unwrap();
    owner.wait().unwrap();
    until(|| is_gone(pid) && !folder.exists());
}

/// Not a test: the owner in a process of its own, for the test above.
#[test]
fn owner_to_be_killed() {
    let Some(report) = std::env::var_os(REPORT) else { return };
    let scratch = Scratch::new().unwrap();
    let child = Program::new("sleep").arg("1002").own_group().start(&scratch.path().join("log")).unwrap();
    let unfinished = Path::new(&report).with_extension("unfinished");
    std::fs::write(&unfinished, format!("{} {}", child.pid(), scratch.path().display())).unwrap();
    std::fs::rename(unfinished, report).unwrap();
    std::thread::sleep(Duration::from_mins(2));
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !condition() {
        assert!(Instant::now() < deadline, "waited two minutes in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How the system says that a process is: `T` for one that was stopped, `Z` for one that nobody waited for yet.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A process that nobody waited for yet has still a pid, but runs no more.
fn is_gone(pid: u32) -> bool {
    state(pid).is_none_or(|state| state == 'Z')
}

fn processes_with(argument: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    arguments.filter(|arguments| arguments.split(|byte| *byte == 0).any(|one| one == argument.as_bytes())).count()
}
