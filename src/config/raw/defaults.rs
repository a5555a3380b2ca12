//! Values of keys that are not written.

use super::words::{AuthMethod, ClientCert, Engine, PoolMode, TlsMode, TlsVersion};
use crate::config::units::{Percent, Size, Time};

macro_rules! defaults {
    ($($name:ident: $kind:ty = $value:expr;)*) => {
        $(pub(super) const fn $name() -> $kind { $value })*
    };
}

defaults! {
    postgresql: Engine = Engine::Postgresql;
    off: ClientCert = ClientCert::Off;
    tls_1_2: TlsVersion = TlsVersion::V1_2;
    scram: AuthMethod = AuthMethod::Scram;
    prefer: TlsMode = TlsMode::Prefer;
    transaction: PoolMode = PoolMode::Transaction;
    all: Percent<1> = Percent(100);
    never: Time = Time::secs(0);
    a_second: Time = Time::secs(1);
    five_seconds: Time = Time::secs(5);
    ten_seconds: Time = Time::secs(10);
    fifteen_seconds: Time = Time::secs(15);
    half_a_minute: Time = Time::secs(30);
    a_minute: Time = Time::secs(60);
    two_minutes: Time = Time::secs(120);
    five_minutes: Time = Time::secs(300);
    ten_minutes: Time = Time::secs(600);
    half_an_hour: Time = Time::secs(1800);
    an_hour: Time = Time::secs(3600);
    four: u32 = 4;
    eight: u32 = 8;
    twenty: u32 = 20;
    two_hundred: usize = 200;
    backlog: u32 = 1024;
    ten_thousand: usize = 10_000;
    a_megabyte: Size = Size(1 << 20);
}

pub(super) fn any_option() -> Vec<String> {
    vec!["*".into()]
}
