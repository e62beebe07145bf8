//! A way to the API server that can be cut.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tentacular_cluster::Cluster;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// While it is not open, connections that there are end, and new ones end at once.
pub(crate) struct Way {
    pub(crate) open: watch::Sender<bool>,
    refused: Arc<AtomicUsize>,
    port: u16,
}

impl Way {
    pub(crate) async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = watch::Sender::new(true);
        let refused = Arc::new(AtomicUsize::new(0));
        let (state, count) = (open.clone(), Arc::clone(&refused));
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (server, mut state) = (server.clone(), state.subscribe());
                if !*state.borrow() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                tokio::spawn(async move {
                    let pass = async {
                        let mut far = TcpStream::connect(server).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        _ = state.wait_for(|open| !open) => {}
                        _ = pass => {}
                    }
                });
            }
        });
        Self { open, refused, port }
    }

    /// The cluster, reached by this way.
    pub(crate) async fn cluster(&self, kubeconfig: &Path, server: &str) -> Cluster {
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let path = kubeconfig.with_extension(format!("way-{}", self.port));
        std::fs::write(&path, text.replace(server, &format!("https://127.0.0.1:{}", self.port))).unwrap();
        Cluster::from_kubeconfig("test", &path).await.unwrap()
    }

    /// How many connections ended at once.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}
