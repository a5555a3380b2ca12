//! Pure: why a token was refused. The log says it; the client reads less.

use std::fmt;

/// A closed list, so that it can label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It is not a token, or one with something in it twice, or with something unknown.
    Malformed,
    /// Longer than any token.
    TooLong,
    /// It is a token for something else than connecting to a database.
    WrongAction,
    /// It is signed in a way that is not accepted.
    WrongAlgorithm,
    /// It is a token for another service of AWS.
    WrongService,
    /// It is signed for another region.
    WrongRegion,
    /// It is for another user than the client has named.
    WrongUser,
    /// It is signed for another host.
    WrongHost,
    /// It is signed for the right host, and another port.
    WrongPort,
    /// Its time is over.
    Expired,
    /// Its time has not come: the clocks differ by more than is allowed.
    NotYetValid,
    /// It asks to be valid for longer than is allowed.
    LivesTooLong,
    /// Nothing is known of the key that it is signed with.
    UnknownKey,
    /// The signature is not that of the key.
    BadSignature,
    /// No policy allows it, or one denies it.
    RefusedByPolicy,
    /// The database does not accept it.
    RefusedByDatabase,
    /// The database lets that user in by other means than a token, or by none.
    NotAskedFor,
    /// Nobody can be asked about it, because the client wants a database that is not configured.
    UnknownDatabase,
    /// It was issued by somebody else.
    WrongIssuer,
    /// It is meant for somebody else.
    WrongAudience,
    /// What it claims does not make its bearer that user.
    WrongSubject,
    /// The issuer's keys cannot be had now.
    KeysUnavailable,
    /// Too many have failed from there, or as that user.
    Throttled,
}

impl Refusal {
    /// The code in the log and in metrics; `docs/iam.md` has a section on each.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::WrongAction => "wrong_action",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongService => "wrong_service",
            Self::WrongRegion => "wrong_region",
            Self::WrongUser => "wrong_user",
            Self::WrongHost => "wrong_host",
            Self::WrongPort => "wrong_port",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::LivesTooLong => "lives_too_long",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::RefusedByPolicy => "refused_by_policy",
            Self::RefusedByDatabase => "refused_by_database",
            Self::NotAskedFor => "not_asked_for",
            Self::UnknownDatabase => "unknown_database",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::WrongSubject => "wrong_subject",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Throttled => "throttled",
        }
    }

    /// What the client may be told: only what it could find out from its own token, and never what
    /// would have been right.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Malformed | Self::TooLong => "the password is not a token",
            Self::WrongAction | Self::WrongService => "the token is for something else",
            Self::WrongAlgorithm => "the token is not signed as it must be",
            Self::WrongRegion => "the token is signed for another region",
            Self::WrongUser => "the token is for another user",
            Self::WrongHost | Self::WrongPort => {
                "the token is signed for another host or port; sign it for the database's endpoint"
            }
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet; check the clock",
            Self::LivesTooLong => "the token is valid for too long",
            Self::Throttled => "too many failed logins, try again later",
            // Whoever guesses learns nothing.
            Self::UnknownKey
            | Self::BadSignature
            | Self::RefusedByPolicy
            | Self::RefusedByDatabase
            | Self::NotAskedFor
            | Self::UnknownDatabase
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::WrongSubject
            | Self::KeysUnavailable => "check token, user and database, and try again",
        }
    }

    /// True if it speaks against the client: then it counts towards the limits on failures.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::KeysUnavailable | Self::Throttled)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn what_a_guesser_must_not_tell_apart_sounds_the_same() {
        let blurred = [
            Refusal::UnknownKey,
            Refusal::BadSignature,
            Refusal::RefusedByPolicy,
            Refusal::RefusedByDatabase,
        ];
        assert!(
            blurred
                .windows(2)
                .all(|pair| pair[0].hint() == pair[1].hint())
        );
        assert_ne!(Refusal::Expired.hint(), blurred[0].hint());
    }
}
