//! The proxy before a service: what passes it, and that a fault strikes the exchange that it was set for and no other.

use std::{net::SocketAddr, time::Duration};

use tentacular_test_harness::{TcpFault, TcpProxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

/// Only what hangs takes that long.
const HANGS: Duration = Duration::from_mins(1);

/// A service that answers each byte by the next one, and tells what it heard.
async fn service() -> (SocketAddr, mpsc::UnboundedReceiver<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    let _ = sender.send(byte);
                    stream.write_u8(byte + 1).await.unwrap();
                }
            });
        }
    });
    (address, heard)
}

async fn ask(stream: &mut TcpStream, byte: u8) -> Option<u8> {
    stream.write_u8(byte).await.ok()?;
    timeout(HANGS, stream.read_u8()).await.unwrap().ok()
}

#[tokio::test]
async fn a_fault_strikes_the_exchange_that_it_was_set_for() {
    let (address, mut heard) = service().await;
    let proxy = TcpProxy::start(address).unwrap();
    for (fault, answer, service_hears) in [
        (TcpFault::CutBefore, None, false),
        (TcpFault::CutAfter, None, true),
        (TcpFault::Answer(vec![77]), Some(77), false),
    ] {
        // The first is the connection.
        proxy.fail(2..3, fault.clone());
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut stream, 10).await, Some(11));
        assert_eq!(heard.recv().await, Some(10));
        assert_eq!(ask(&mut stream, 20).await, answer, "{fault:?}");
        assert_eq!(ask(&mut stream, 30).await, None, "the connection is cut: {fault:?}");
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut stream, 40).await, Some(41));
        let mut next = heard.recv().await;
        if service_hears {
            assert_eq!(next, Some(20), "{fault:?}");
            next = heard.recv().await;
        }
        assert_eq!(next, Some(40), "{fault:?}");
        assert_eq!(proxy.exchanges(), 5);
        assert!(proxy.mend());
        assert!(!proxy.mend());
    }
}

#[tokio::test]
async fn what_stands_still_goes_on_as_if_nothing_had_been() {
    let (address, mut heard) = service().await;
    let proxy = TcpProxy::start(address).unwrap();
    let other = proxy.beside(address).unwrap();
    proxy.fail(1..usize::MAX, TcpFault::Stall);
    let mut streams = Vec::new();
    for address in [proxy.address(), other.address()] {
        streams.push(TcpStream::connect(address).await.unwrap());
    }
    for stream in &mut streams {
        stream.write_u8(1).await.unwrap();
    }
    // What is said on the second belongs to the exchange that stands still already.
    let said = async {
        while proxy.exchanges() < 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(HANGS, said).await.unwrap();
    assert!(heard.try_recv().is_err());
    streams[0].write_u8(5).await.unwrap();
    assert!(other.mend(), "they are mended together");
    for stream in &mut streams {
        assert_eq!(timeout(HANGS, stream.read_u8()).await.unwrap().unwrap(), 2);
    }
    assert_eq!(timeout(HANGS, streams[0].read_u8()).await.unwrap().unwrap(), 6);
}

#[tokio::test]
async fn a_service_sees_that_a_client_gave_up_while_nothing_passed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = TcpProxy::start(listener.local_addr().unwrap()).unwrap();
    proxy.fail(1..usize::MAX, TcpFault::Stall);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut service, _) = timeout(HANGS, listener.accept()).await.unwrap().unwrap();
    client.write_u8(1).await.unwrap();
    drop(client);
    let mut said = Vec::new();
    timeout(HANGS, service.read_to_end(&mut said)).await.unwrap().unwrap();
    assert!(said.is_empty(), "{said:?}");
}
