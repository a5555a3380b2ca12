//! The file's words in the words of the components.

use crate::config::raw;
use crate::model::{
    AuthMethod, Consistency, EngineFamily, PinReason, Pins, PoolMode, Role, TargetRole,
};
use crate::net::options::{ClientCert, TlsMode, TlsVersion};
use crate::telemetry::options::LogFormat;

pub(super) const fn engine(raw: raw::Engine) -> EngineFamily {
    match raw {
        raw::Engine::Postgresql => EngineFamily::Postgres,
        raw::Engine::Mysql => EngineFamily::Mysql,
    }
}

pub(super) const fn pool_mode(raw: raw::PoolMode) -> PoolMode {
    match raw {
        raw::PoolMode::Transaction => PoolMode::Transaction,
        raw::PoolMode::Session => PoolMode::Session,
    }
}

pub(super) const fn target_role(raw: raw::TargetRole) -> TargetRole {
    match raw {
        raw::TargetRole::ReadWrite => TargetRole::ReadWrite,
        raw::TargetRole::ReadOnly => TargetRole::ReadOnly,
        raw::TargetRole::Split => TargetRole::Split,
    }
}

pub(super) const fn consistency(raw: raw::ReadConsistency) -> Consistency {
    match raw {
        raw::ReadConsistency::Eventual => Consistency::Eventual,
        raw::ReadConsistency::Session => Consistency::Session,
        raw::ReadConsistency::Strong => Consistency::Strong,
    }
}

pub(super) const fn role(raw: raw::TargetRoleHint) -> Option<Role> {
    match raw {
        raw::TargetRoleHint::Auto => None,
        raw::TargetRoleHint::Primary => Some(Role::Primary),
        raw::TargetRoleHint::Replica => Some(Role::Replica),
    }
}

pub(super) fn pins(raw: &[raw::PinFilter]) -> Pins {
    raw.iter()
        .map(|reason| match reason {
            raw::PinFilter::Setting => PinReason::Setting,
            raw::PinFilter::Role => PinReason::Role,
            raw::PinFilter::TempObject => PinReason::TempObject,
            raw::PinFilter::HeldCursor => PinReason::HeldCursor,
            raw::PinFilter::Listen => PinReason::Listen,
            raw::PinFilter::AdvisoryLock => PinReason::AdvisoryLock,
            raw::PinFilter::Load => PinReason::Load,
            raw::PinFilter::SqlPrepare => PinReason::SqlPrepare,
            raw::PinFilter::Sequence => PinReason::Sequence,
            raw::PinFilter::RandomSeed => PinReason::RandomSeed,
            raw::PinFilter::ExternalConnection => PinReason::ExternalConnection,
            raw::PinFilter::CodeBlock => PinReason::CodeBlock,
            raw::PinFilter::Unclassified => PinReason::Unclassified,
        })
        .collect()
}

pub(super) const fn auth_method(raw: raw::AuthMethod) -> AuthMethod {
    match raw {
        raw::AuthMethod::Scram => AuthMethod::Scram,
        raw::AuthMethod::Password => AuthMethod::Password,
        raw::AuthMethod::Md5 => AuthMethod::Md5,
        raw::AuthMethod::Cert => AuthMethod::Certificate,
        raw::AuthMethod::Trust => AuthMethod::Trust,
        raw::AuthMethod::CachingSha2 => AuthMethod::CachingSha2,
        raw::AuthMethod::Native => AuthMethod::Native,
        raw::AuthMethod::Sha256 => AuthMethod::Sha256,
        raw::AuthMethod::Ed25519 => AuthMethod::Ed25519,
        raw::AuthMethod::Iam => AuthMethod::Iam,
        raw::AuthMethod::Jwt => AuthMethod::Jwt,
    }
}

pub(super) const fn tls_version(raw: raw::TlsVersion) -> TlsVersion {
    match raw {
        raw::TlsVersion::V1_2 => TlsVersion::V1_2,
        raw::TlsVersion::V1_3 => TlsVersion::V1_3,
    }
}

pub(super) const fn client_cert(raw: raw::ClientCert) -> ClientCert {
    match raw {
        raw::ClientCert::Off => ClientCert::Off,
        raw::ClientCert::Optional => ClientCert::Optional,
        raw::ClientCert::Required => ClientCert::Required,
    }
}

pub(super) const fn tls_mode(raw: raw::TlsMode) -> TlsMode {
    match raw {
        raw::TlsMode::Disable => TlsMode::Disable,
        raw::TlsMode::Prefer => TlsMode::Prefer,
        raw::TlsMode::Require => TlsMode::Require,
        raw::TlsMode::VerifyCa => TlsMode::VerifyCa,
        raw::TlsMode::VerifyFull => TlsMode::VerifyFull,
    }
}

pub(super) const fn log_format(raw: raw::LogFormat) -> LogFormat {
    match raw {
        raw::LogFormat::Text => LogFormat::Text,
        raw::LogFormat::Json => LogFormat::Json,
    }
}
