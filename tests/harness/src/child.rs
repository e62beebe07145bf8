//! A program run as a child that does not outlive its owner.
//!
//! The owner may be killed, and statics are never dropped, so a destructor is not enough. The program is started by a
//! shell that first leaves a watcher behind and then becomes the program. The watcher reads a pipe whose other end only
//! the owner has: the end of file tells that the owner is gone.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, ExitStatus, Stdio},
    thread::JoinHandle,
};

use anyhow::Context as _;
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};
use tokio::sync::watch;

/// The pipe is moved to another descriptor first, as a shell gives a background job `/dev/null` for stdin. The watcher
/// is a grandchild, so that the program never meets a child it does not know. A line on the pipe instead of its end
/// says that the program has been waited for: its pid may by then belong to another.
const LEASH: &str = r#"exec 3<&0 </dev/null
( ( trap '' HUP INT TERM; read -r line <&3 || kill -KILL $$ ) >/dev/null 2>&1 & )
exec 3<&-
exec "$@""#;

/// A program to start: its path, arguments and environment.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    inherit_environment: bool,
    directory: Option<PathBuf>,
    own_group: bool,
}

impl Program {
    /// A program by its path, or by a name to be found in `PATH`, with this process's environment.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            args: Vec::new(),
            environment: Vec::new(),
            inherit_environment: true,
            directory: None,
            own_group: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts from an empty environment, so that only what [`Program::env`] sets is there.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.inherit_environment = false;
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Gives it a process group of its own, so that a Ctrl-C in the terminal reaches the owner alone.
    #[must_use]
    pub fn own_group(mut self) -> Self {
        self.own_group = true;
        self
    }

    /// Starts it with stdout and stderr appended to the file `log`. Fails when the file cannot be written or no
    /// process can be started. A program that does not exist makes a child that exits with 127 and says so in its log.
    pub fn start(&self, log: &Path) -> anyhow::Result<Child> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write the log {}", log.display()))?;
        let mut command = Command::new("/bin/sh");
        if !self.inherit_environment {
            command.env_clear();
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if self.own_group {
            command.process_group(0);
        }
        let mut process = command
            .args(["-c", LEASH, "sh"])
            .arg(&self.path)
            .args(&self.args)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", self.path.display()))?;
        let leash = process.stdin.take().context("the child has no stdin")?;
        Child::watch(process, leash, log.to_owned())
    }
}

/// A running program. It is killed on drop, and also when this process ends in whatever way.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    log: PathBuf,
    /// The status once it was waited for. Its lock keeps the pid ours.
    exited: watch::Receiver<Option<ExitStatus>>,
    reaper: Option<JoinHandle<()>>,
}

impl Child {
    /// Waits in a thread, so that a child belongs to no runtime: it may be started in one and awaited in another.
    fn watch(mut process: std::process::Child, leash: ChildStdin, log: PathBuf) -> anyhow::Result<Self> {
        let pid = Pid::from_child(&process);
        let (status, exited) = watch::channel(None);
        let reaper = std::thread::Builder::new()
            .name(format!("child-{}", pid.as_raw_nonzero()))
            .spawn(move || reap(&mut process, pid, leash, &status))
            .context("cannot start the thread that waits for a child")?;
        Ok(Self { pid, log, exited, reaper: Some(reaper) })
    }

    /// The pid of the program itself.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until it has ended. May be awaited by several, in any runtime. Fails when the system lost its status.
    pub async fn wait(&self) -> anyhow::Result<ExitStatus> {
        let mut exited = self.exited.clone();
        let status = exited.wait_for(Option::is_some).await.context("nobody waits for the child any more")?;
        status.context("a child that ended has no status")
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        self.exited.borrow().is_none() && self.exited.has_changed().is_ok()
    }

    /// Asks it to end, by SIGTERM. Does nothing when it has ended already.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Kills it, by SIGKILL. Does nothing when it has ended already.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Asks it to end at once and in disorder, by SIGQUIT. Does nothing when it has ended already.
    pub fn quit(&self) -> anyhow::Result<()> {
        self.signal(Signal::QUIT)
    }

    /// Asks it to read its configuration again, by SIGHUP. Does nothing when it has ended already.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.signal(Signal::HUP)
    }

    /// Lets it stand still, by SIGSTOP, until [`Self::resume`]. Returns when it does, as on a busy machine its threads go on for
    /// some time. Does nothing when it has ended already.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.while_ours(|| {
            self.send(Signal::STOP)?;
            let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(self.pid), stopped), Err(Errno::INTR)) {}
            Ok(())
        })
    }

    /// Lets it go on, by SIGCONT.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// What it wrote to stdout and stderr so far; empty when the log cannot be read.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last `count` lines of its log.
    pub fn last_lines(&self, count: usize) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// The file of its log.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.while_ours(|| self.send(signal))
    }

    /// Does something with the pid unless it may be another's.
    fn while_ours(&self, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let status = self.exited.borrow();
        if status.is_some() { Ok(()) } else { act() }
    }

    fn send(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.pid, signal).with_context(|| format!("cannot signal process {}", self.pid()))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let killed = self.kill();
        if let (Ok(()), Some(reaper)) = (killed, self.reaper.take()) {
            // A killed process ends at once, and folders that it writes to may be removed next.
            let _ = reaper.join();
        }
    }
}

/// Waits for the end without taking the pid back to the system, and takes it back only while nobody does something with the pid.
fn reap(
    process: &mut std::process::Child,
    pid: Pid,
    mut leash: ChildStdin,
    status: &watch::Sender<Option<ExitStatus>>,
) {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while matches!(waitid(WaitId::Pid(pid), ended), Err(Errno::INTR)) {}
    status.send_modify(|status| *status = process.wait().ok());
    // The watcher may be gone already; then there is nobody to tell.
    let _ = leash.write_all(b"ended\n");
}
