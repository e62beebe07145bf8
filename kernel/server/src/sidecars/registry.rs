//! Watches the run folder: a socket that appears joins, one that is replaced is asked again, one that goes leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tentacular_contract::{keys, limits::SHOWN_CHARACTERS, text};
use tentacular_process::{Context, health::Condition, link::SOCKET_SUFFIX};
use tokio::{
    net::UnixStream,
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, timeout_at},
};

use super::{
    catalog::{Catalog, Offer, Reserved},
    join::{Introduced, NotJoined, join},
};

/// Between two looks at the folder.
const LOOK: Duration = Duration::from_secs(1);
/// The same while the parts of a pod start, when a second is a long time.
const EARLY_LOOK: Duration = Duration::from_millis(50);
/// How long a start takes at most.
const EARLY: Duration = Duration::from_secs(30);

/// Sidecars beside the built-in ones that join or are asked at once: each may have as many tools as one may.
const FOREIGN: usize = 32;
/// Longest name of a sidecar, in characters.
const NAME: usize = 63;

/// A sidecar that belongs to every installation. Its names win over everybody else's.
#[derive(Debug, Clone)]
pub(crate) struct BuiltIn {
    name: &'static str,
    uid: u32,
}

impl BuiltIn {
    /// A built-in sidecar whose socket must belong to `uid`, or to the kernel's own.
    pub(crate) fn new(name: &'static str, uid: Option<u32>) -> Self {
        Self { name, uid: uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()) }
    }
}

/// The catalog of the moment. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    catalog: Arc<ArcSwap<Catalog>>,
    changes: watch::Receiver<()>,
}

impl Registry {
    /// Starts to watch `folder`.
    pub(crate) fn watch(folder: &Path, built_in: [BuiltIn; 3], context: &Context) -> anyhow::Result<Self> {
        fs::read_dir(folder)
            .with_context(|| format!("cannot read the run folder {} (--run-dir)", folder.display()))?;
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::merge(std::iter::empty(), &Reserved::new())));
        let (announce, changes) = watch::channel(());
        let watcher = Watcher {
            folder: folder.to_owned(),
            conditions: built_in.each_ref().map(|part| context.health.condition(part.name)),
            built_in,
            joined: BTreeMap::new(),
            asked: BTreeMap::new(),
            answers: JoinSet::new(),
            complaints: BTreeMap::new(),
            reserved: Reserved::new(),
            catalog: Arc::clone(&catalog),
            announce,
            context: context.clone(),
        };
        context.spawn("sidecars", watcher.run());
        Ok(Self { catalog, changes })
    }

    /// A registry that stays as it is.
    #[cfg(test)]
    pub(crate) fn fixed(catalog: Catalog) -> Self {
        Self { catalog: Arc::new(ArcSwap::from_pointee(catalog)), changes: watch::channel(()).1 }
    }

    /// The tools of the moment.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// Wakes when the list that clients see has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
        changes
    }
}

/// Which file a socket is. The change time tells a reused inode number from the file before it.
type FileId = (u64, i64, i64);

#[derive(Debug)]
struct Joined {
    file: FileId,
    offer: Offer,
}

type Answer = Result<Introduced, NotJoined>;

struct Watcher {
    folder: PathBuf,
    built_in: [BuiltIn; 3],
    conditions: [Condition; 3],
    joined: BTreeMap<String, Joined>,
    /// Who is being asked. Each answer is waited for apart, so that one who is slow holds up nobody.
    asked: BTreeMap<String, FileId>,
    answers: JoinSet<(String, FileId, Answer)>,
    complaints: BTreeMap<String, String>,
    /// Names of built-in parts: nobody gets them, also while a part is away.
    reserved: Reserved,
    catalog: Arc<ArcSwap<Catalog>>,
    announce: watch::Sender<()>,
    context: Context,
}

impl Watcher {
    async fn run(mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            self.look();
            self.note_who_is_up().await;
            let starting = begun.elapsed() < EARLY && self.conditions_missing();
            let next = Instant::now() + if starting { EARLY_LOOK } else { LOOK };
            while let Ok(Some(answered)) = timeout_at(next, self.next_answer()).await {
                let (name, file, answer) = answered?;
                self.arrive(name, file, answer);
            }
        }
    }

    /// The next answer of whoever is being asked; never, while nobody is.
    async fn next_answer(&mut self) -> Option<Result<(String, FileId, Answer), JoinError>> {
        match self.answers.join_next().await {
            None => std::future::pending().await,
            answered => answered,
        }
    }

    fn conditions_missing(&self) -> bool {
        self.built_in.iter().any(|part| !self.joined.contains_key(part.name))
    }

    /// Compares the folder with who has joined: asks who is new, unlists who is gone.
    fn look(&mut self) {
        let (sockets, misnamed) = match sockets(&self.folder) {
            Ok(found) => found,
            Err(error) => {
                // Better the tools of a moment ago than none.
                self.complain("run folder", &error.to_string());
                return;
            }
        };
        let before = self.joined.len();
        self.joined.retain(|name, _| {
            let stays = sockets.contains_key(name);
            if !stays {
                tracing::info!(sidecar = name, "left");
            }
            stays
        });
        // Of several one is told at a time.
        let misnamed = misnamed.map(|name| text::line(&name, SHOWN_CHARACTERS));
        self.complaints.retain(|name, _| sockets.contains_key(name) || misnamed.as_ref() == Some(name));
        if let Some(name) = misnamed {
            self.complain(&name, &format!("a sidecar's name has 1 to {NAME} characters of a-z, 0-9, '-' and '_'"));
        }
        if self.joined.len() != before {
            self.publish();
        }
        let mut told = false;
        for (name, file) in sockets {
            let known = self.joined.get(&name).map(|joined| joined.file);
            if known == Some(file) || self.asked.contains_key(&name) {
                continue;
            }
            if self.has_room(&name) {
                self.ask(name, file);
            } else if !told {
                self.complain(&name, &format!("more than {FOREIGN} sidecars beside the built-in ones"));
                told = true;
            }
        }
    }

    /// Whether it may join: who is built in, who joined before, and others as long as there is room.
    fn has_room(&self, name: &str) -> bool {
        let names: BTreeSet<_> = self.joined.keys().chain(self.asked.keys()).collect();
        let foreign = names.iter().filter(|name| self.uid(name).is_none()).count();
        self.uid(name).is_some() || self.joined.contains_key(name) || foreign < FOREIGN
    }

    fn ask(&mut self, name: String, file: FileId) {
        self.asked.insert(name.clone(), file);
        let path = self.folder.join(format!("{name}{SOCKET_SUFFIX}"));
        let uid = self.uid(&name);
        self.answers.spawn(async move {
            let answer = join(&path, uid).await;
            (name, file, answer)
        });
    }

    fn uid(&self, name: &str) -> Option<u32> {
        self.built_in.iter().find(|part| part.name == name).map(|part| part.uid)
    }

    fn arrive(&mut self, name: String, file: FileId, answer: Answer) {
        self.asked.remove(&name);
        match answer {
            Ok(Introduced { client, contract, tools }) => {
                let ours = keys::CONTRACT_VERSION;
                tracing::info!(sidecar = name, contract, kernel_contract = ours, tools = tools.len(), "joined");
                self.complaints.remove(&name);
                let index = self.built_in.iter().position(|part| part.name == name);
                let offer = Offer { sidecar: name.clone(), client, built_in: index.is_some(), tools };
                self.joined.insert(name, Joined { file, offer });
                self.publish();
                if let Some(index) = index {
                    self.conditions[index].set(true);
                }
            }
            // It may hold whatever the sidecar answered.
            Err(error) => self.complain(&name, &text::line(&error.to_string(), SHOWN_CHARACTERS)),
        }
    }

    /// Logs a reason once, until it changes.
    fn complain(&mut self, name: &str, reason: &str) {
        if self.complaints.insert(name.to_owned(), reason.to_owned()).as_deref() != Some(reason) {
            tracing::warn!(sidecar = name, reason, "not joined");
        }
    }

    fn publish(&mut self) {
        let built_in: BTreeSet<_> = self.built_in.iter().map(|part| part.name).collect();
        let ours = self.built_in.iter().filter_map(|part| self.joined.get(part.name));
        let theirs =
            self.joined.iter().filter(|(name, _)| !built_in.contains(name.as_str())).map(|(_, joined)| joined);
        let catalog = Catalog::merge(ours.chain(theirs).map(|joined| &joined.offer), &self.reserved);
        for (name, sidecar) in catalog.names() {
            if let Some(part) = self.built_in.iter().find(|part| part.name == sidecar) {
                self.reserved.insert(name.to_owned(), part.name);
            }
        }
        let before = self.catalog.load_full();
        for refused in catalog.refused().iter().filter(|refused| !before.refused().contains(refused)) {
            tracing::warn!(reason = refused, "not listed");
        }
        let same = catalog.lists_the_same(&before);
        self.catalog.store(Arc::new(catalog));
        if !same {
            self.announce.send_replace(());
        }
    }

    /// Says on /readyz who answers; a part that is away does not make the kernel unready.
    async fn note_who_is_up(&self) {
        for part in &self.built_in {
            let path = self.folder.join(format!("{}{SOCKET_SUFFIX}", part.name));
            let up = UnixStream::connect(&path).await.is_ok();
            self.context.health.note(part.name, if up { "up" } else { "away" });
        }
    }
}

/// Whether a sidecar may have this name, which people read in errors and logs: 1 to 63 of a-z, 0-9, '-' and '_'.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=NAME).contains(&name.len()) && name.bytes().all(allowed)
}

/// The socket files of the folder by sidecar name, and the first of those whose name is none. Hidden files are sockets that are still
/// being made.
fn sockets(folder: &Path) -> io::Result<(BTreeMap<String, FileId>, Option<String>)> {
    let (mut found, mut misnamed) = (BTreeMap::new(), BTreeSet::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let file_name = file_name.to_string_lossy();
        let Some(name) = file_name.strip_suffix(SOCKET_SUFFIX) else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.file_type().is_socket() {
            continue;
        }
        if is_name(name) {
            found.insert(name.to_owned(), (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()));
        } else if !name.starts_with('.') {
            misnamed.insert(name.to_owned());
        }
    }
    Ok((found, misnamed.pop_first()))
}
