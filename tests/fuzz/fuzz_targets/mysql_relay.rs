//! What MySQL's clients and servers send once the client is in: in turns, to a client's books and
//! a server connection's; to a client without a server connection; to chores of Sluice's own.
#![no_main]

use std::sync::{Arc, Mutex};

use libfuzzer_sys::fuzz_target;
use sluice::model::{Fault, FaultKind, PinPolicy, PoolMode, Secret};
use sluice::protocol::mysql::Mysql;
use sluice::protocol::mysql::back::MyBack;
use sluice::protocol::mysql::capability::Capabilities;
use sluice::protocol::mysql::connect::Connected;
use sluice::protocol::mysql::found::Found;
use sluice::protocol::mysql::front::MyFront;
use sluice::protocol::mysql::greeting::unheard;
use sluice::protocol::mysql::login::{Announcement, Challenge, Flavor, Login};
use sluice::protocol::mysql::settings::usual_mode;
use sluice::protocol::mysql::status::Status;
use sluice::protocol::{Back, Chore, Engine, FrontSettings, Script, Wants};
use sluice_fuzz::Cut;

fn sides(choice: u8) -> (MyFront, MyBack) {
    let capabilities = if choice & 2 != 0 {
        Capabilities::USUAL
    } else {
        Capabilities::USUAL.without(Capabilities::DEPRECATE_EOF)
    };
    let policy = FrontSettings {
        splits: false,
        pool_mode: if choice & 1 != 0 {
            PoolMode::Session
        } else {
            PoolMode::Transaction
        },
        ignore_options: Arc::new([]),
        allow_options: None,
        max_client_statements: usize::from(choice >> 6),
        max_server_statements: 2,
        max_statement_bytes: 1 << 20,
        pins: PinPolicy::default(),
    };
    let flavor = if choice & 4 != 0 {
        Flavor::MariaDb
    } else {
        Flavor::MySql
    };
    let login = Login {
        user: "ann".into(),
        database: "shop".into(),
        capabilities,
        collation: 45,
        flavor,
        peer: [127, 0, 0, 1].into(),
        tls: false,
        plugin: "mysql_native_password".into(),
        answer: Mutex::new(Some(Secret::new(b""))),
        challenge: Challenge::new([1; 20]),
        again: false,
        found: Found::default(),
        attributes: Arc::new([]),
        application: "".into(),
        sequence: Arc::default(),
        assurance: Arc::default(),
    };
    let announcement = Arc::new(Announcement {
        flavor,
        ..unheard()
    });
    let connected = Connected {
        usual: usual_mode(&announcement, b""),
        announcement,
        capabilities,
        pid: 7,
        tls: false,
        status: Status::AUTOCOMMIT,
    };
    (
        MyFront::new(&login, "shop", Arc::new(policy)),
        MyBack::new(connected),
    )
}

/// The client's and the server's pieces in turn.
fn attached(choice: u8, pieces: &[&[u8]]) {
    let (mut front, mut back) = sides(choice);
    let (mut request, mut replies) = (Vec::new(), Vec::new());
    let _ = Mysql::attach(&mut front, &mut back, &mut request, &mut replies);
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    let mut script = Script::default();
    for (turn, piece) in pieces.iter().enumerate() {
        script.clear();
        if turn % 2 == 0 {
            asked.extend_from_slice(piece);
            match Mysql::from_client(&mut front, &mut back, &asked, &mut script, &mut replies) {
                Ok(dealt) => drop(asked.drain(..dealt)),
                Err(_) => return,
            }
        } else {
            answered.extend_from_slice(piece);
            match Mysql::from_server(&mut front, &mut back, &answered, &mut script) {
                Ok(dealt) => drop(answered.drain(..dealt)),
                Err(_) => return,
            }
        }
        let _ = back.progress();
    }
}

fn alone(choice: u8, pieces: &[&[u8]]) {
    let (mut front, _) = sides(choice);
    let (mut replies, mut kept) = (Vec::new(), Vec::new());
    let none_free = Fault::new(FaultKind::BorrowTimeout, "none is free");
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            let Ok((dealt, wants)) = Mysql::wants(&mut front, &kept, &mut replies) else {
                return;
            };
            kept.drain(..dealt);
            if let Some(errand) = Mysql::errand(&mut front) {
                let _ = errand;
                Mysql::errand_done(&mut front, choice & 8 != 0, &mut replies);
                continue;
            }
            match wants {
                Wants::Server => Mysql::decline(&mut front, &none_free, &kept, &mut replies),
                Wants::Login => match Mysql::relogin(&mut front, &kept) {
                    Ok((dealt, _)) => drop(kept.drain(..dealt)),
                    Err(_) => return,
                },
                Wants::More | Wants::Quit => break,
            }
        }
    }
}

fn chores(choice: u8, pieces: &[&[u8]]) {
    let (_, mut back) = sides(choice);
    let chore = match choice >> 4 & 3 {
        0 => Chore::Ping,
        1 => Chore::Reset,
        2 => Chore::Rollback,
        _ => Chore::Query("select 1"),
    };
    back.request(chore, &mut Vec::new());
    let mut kept = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        match back.absorb(&kept) {
            Ok(dealt) => drop(kept.drain(..dealt)),
            Err(_) => return,
        }
    }
    let _ = (back.progress(), back.chore_value(), back.chore_error());
}

fuzz_target!(|data: &[u8]| {
    let Some(cut) = Cut::new(data) else { return };
    let [_, pieces] = cut.both();
    attached(cut.choice, &pieces);
    alone(cut.choice, &pieces);
    chores(cut.choice, &pieces);
});
