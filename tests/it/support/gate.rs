//! A way to a server that can be shut: what goes through stands still, as in a network that is cut,
//! or nobody is let in.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

/// Open, silent, or closed.
const OPEN: u8 = 0;
const SILENT: u8 = 1;
const CLOSED: u8 = 2;

/// A gate on a port of its own.
#[derive(Debug)]
pub struct Gate {
    pub port: u16,
    state: Arc<AtomicU8>,
    to: Arc<AtomicU16>,
}

impl Gate {
    /// An open gate before the server at `port`.
    pub fn before(port: u16) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), port)
    }

    /// The same at an address of the caller's choice.
    pub fn at(address: SocketAddr, port: u16) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let gate = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::new(AtomicU8::new(OPEN)),
            to: Arc::new(AtomicU16::new(port)),
        };
        let (state, to) = (Arc::clone(&gate.state), Arc::clone(&gate.to));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&state);
                let to = to.load(Ordering::SeqCst);
                thread::spawn(move || pass(client, to, &state));
            }
        });
        gate
    }

    /// Nothing goes through any more, and nobody is told.
    pub fn silence(&self) {
        self.state.store(SILENT, Ordering::SeqCst);
    }

    /// Everybody is cut, and nobody is let in.
    pub fn close(&self) {
        self.state.store(CLOSED, Ordering::SeqCst);
    }

    /// What stood still goes on.
    pub fn open(&self) {
        self.state.store(OPEN, Ordering::SeqCst);
    }
}

fn pass(client: TcpStream, port: u16, state: &Arc<AtomicU8>) {
    while state.load(Ordering::SeqCst) == SILENT {
        thread::sleep(PAUSE);
    }
    if state.load(Ordering::SeqCst) == CLOSED {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
        return;
    };
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let there = Arc::clone(state);
    thread::spawn(move || pump(from, to, &there));
    pump(server, client, state);
}

fn pump(mut from: TcpStream, mut to: TcpStream, state: &AtomicU8) {
    from.set_read_timeout(Some(PAUSE)).unwrap();
    let mut piece = [0; 16 * 1024];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(_) => break,
        };
        while state.load(Ordering::SeqCst) == SILENT {
            thread::sleep(PAUSE);
        }
        if state.load(Ordering::SeqCst) == CLOSED || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

const PAUSE: Duration = Duration::from_millis(20);
