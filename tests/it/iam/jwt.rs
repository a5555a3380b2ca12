//! JSON Web Tokens of an issuer that rotates its keys.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::Engine as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{
    certs::Certs,
    mysql::{self, Kind},
    postgres::Database,
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{Login, Wire},
};

/// Publishes keys as OIDC issuers do, on this machine.
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    /// Requests for the keys.
    asked: Arc<AtomicU32>,
}

struct Key {
    id: String,
    algorithm: Algorithm,
    private: EncodingKey,
}

impl Issuer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self {
            url: url.clone(),
            keys: Arc::default(),
            asked: Arc::default(),
        };
        let (keys, asked) = (Arc::clone(&issuer.keys), Arc::clone(&issuer.asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut request = String::new();
                reader.read_line(&mut request).unwrap();
                let mut line = String::from("x");
                while !line.trim().is_empty() {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                }
                let body = if request.contains("openid-configuration") {
                    json!({"issuer": url, "jwks_uri": format!("{url}/keys")})
                } else {
                    asked.fetch_add(1, Ordering::Relaxed);
                    json!({"keys": *keys.lock().unwrap()})
                };
                let body = body.to_string();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        issuer
    }

    /// A new key, published in place of those there were.
    fn rotate(&self, id: &str) -> Key {
        let pair = rcgen::KeyPair::generate().unwrap();
        let point = rcgen::PublicKeyData::der_bytes(&pair).to_vec();
        let (x, y) = point[1..].split_at(32);
        let text = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let public = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": id, "x": text(x), "y": text(y)});
        *self.keys.lock().unwrap() = vec![public];
        Key {
            id: id.into(),
            algorithm: Algorithm::ES256,
            private: EncodingKey::from_ec_der(&pair.serialize_der()),
        }
    }

    /// The same of a key for RSA, made by OpenSSL as that of Cognito or Entra ID is by somebody else.
    fn rotate_to_rsa(&self, id: &str) -> Key {
        let openssl = |arguments: &[&str], input: &[u8]| {
            let mut child = Command::new("openssl")
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(input).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "openssl {arguments:?}");
            output.stdout
        };
        let pem = openssl(&["genrsa", "-traditional", "2048"], b"");
        let private = openssl(&["rsa", "-traditional", "-outform", "DER"], &pem);
        let modulus = openssl(&["rsa", "-noout", "-modulus"], &pem);
        let digits = String::from_utf8(modulus).unwrap();
        let digits = digits.trim().strip_prefix("Modulus=").unwrap().to_owned();
        let modulus: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        let text = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        // The exponent is 65537 unless another is asked for.
        let public = json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": id, "n": text(&modulus), "e": "AQAB"});
        *self.keys.lock().unwrap() = vec![public];
        Key {
            id: id.into(),
            algorithm: Algorithm::RS256,
            private: EncodingKey::from_rsa_der(&private),
        }
    }

    fn token(&self, key: &Key, subject: &str, audience: &str) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let claims =
            json!({"iss": self.url, "aud": audience, "sub": subject, "iat": now, "exp": now + 300});
        let header = Header {
            kid: Some(key.id.clone()),
            ..Header::new(key.algorithm)
        };
        encode(&header, &claims, &key.private).unwrap()
    }

    fn settings(&self, settings: Settings) -> Settings {
        settings.listener("auth_method", "jwt").extra(&format!(
            "[[jwt_issuer]]\nname = \"test\"\nissuer = \"{}\"\naudiences = [\"sluice\"]\nusers = {{ \"function:shop-*\" = [\"app\"] }}\n",
            self.url
        ))
    }
}

#[test]
fn a_token_of_the_issuer_lets_its_bearer_in_as_whom_it_may_be() {
    if is_direct() {
        return;
    }
    let issuer = Issuer::start();
    let key = issuer.rotate("one");
    let database = Database::new();
    let proxy = Sluice::start(&issuer.settings(Settings::for_server(database.server_port)));
    let login = |user: &'static str, password: String| {
        Login::new(proxy.port, &database.name, (user, &password))
            .tls(Certs::shared().client_config(None))
    };
    let published = issuer.keys.lock().unwrap().clone();
    let forged = issuer.rotate("one");
    *issuer.keys.lock().unwrap() = published;
    let good = issuer.token(&key, "function:shop-eu", "sluice");
    let mut wire = Wire::connect(&login("app", good.clone())).unwrap();
    assert_eq!(wire.value("select session_user"), "app");
    for (user, token, reason) in [
        ("other", good.clone(), "wrong_subject"),
        (
            "app",
            issuer.token(&key, "function:stock", "sluice"),
            "wrong_subject",
        ),
        (
            "app",
            issuer.token(&key, "function:shop-eu", "somebody"),
            "wrong_audience",
        ),
        (
            "app",
            issuer.token(&forged, "function:shop-eu", "sluice"),
            "bad_signature",
        ),
        ("app", "app secret".into(), "malformed"),
    ] {
        let refused = Wire::connect(&login(user, token)).err().expect("a refusal");
        assert_eq!(refused.sqlstate(), "28P01", "{reason}");
        wait::until_true(reason, || {
            proxy.log().contains(&format!("reason=\"{reason}\""))
        });
    }
    let mut plain = login("app", good.clone());
    plain.tls = None;
    assert_eq!(Wire::connect(&plain).err().unwrap().sqlstate(), "28000");
    assert!(!proxy.log().contains(&good), "a token was logged");
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1);

    // A new key is fetched when a token names it; an invented one makes no storm of requests.
    let second = issuer.rotate("two");
    let rotated = login("app", issuer.token(&second, "function:shop-eu", "sluice"));
    wait::until_true("the new key", || Wire::connect(&rotated).is_ok());
    let asked = issuer.asked.load(Ordering::Relaxed);
    assert_eq!(asked, 2);
    for n in 0..20 {
        let invented = Key {
            id: format!("x{n}"),
            algorithm: second.algorithm,
            private: second.private.clone(),
        };
        let token = issuer.token(&invented, "function:shop-eu", "sluice");
        assert!(Wire::connect(&login("app", token)).is_err());
    }
    assert!(issuer.asked.load(Ordering::Relaxed) <= asked + 1);
    // The old one is withdrawn.
    assert!(Wire::connect(&login("app", good)).is_err());
}

#[test]
fn tokens_signed_with_rsa_are_verified_too() {
    if is_direct() {
        return;
    }
    let issuer = Issuer::start();
    let key = issuer.rotate_to_rsa("one");
    let database = Database::new();
    let proxy = Sluice::start(&issuer.settings(Settings::for_server(database.server_port)));
    let connect = |token: &str| {
        let login = Login::new(proxy.port, &database.name, ("app", token));
        Wire::connect(&login.tls(Certs::shared().client_config(None)))
    };
    let good = issuer.token(&key, "function:shop-eu", "sluice");
    assert_eq!(connect(&good).unwrap().value("select session_user"), "app");
    // Each part of it counts.
    let parts: Vec<&str> = good.split('.').collect();
    let other = issuer.token(&key, "function:shop-us", "sluice");
    let other: Vec<&str> = other.split('.').collect();
    let mixed = [parts[0], other[1], parts[2]].join(".");
    assert_eq!(connect(&mixed).err().unwrap().sqlstate(), "28P01");
    wait::until_true("the reason", || {
        proxy.log().contains("reason=\"bad_signature\"")
    });
    // Another key under the same name.
    let published = issuer.keys.lock().unwrap().clone();
    let forged = issuer.rotate_to_rsa("one");
    *issuer.keys.lock().unwrap() = published;
    let token = issuer.token(&forged, "function:shop-eu", "sluice");
    assert!(connect(&token).is_err());
    // A key for RSA verifies nothing that names another algorithm: its public part is no secret.
    let header = Header {
        kid: Some("one".into()),
        ..Header::new(Algorithm::HS256)
    };
    let claims = json!({"iss": issuer.url, "aud": "sluice", "sub": "function:shop-eu", "exp": 4_000_000_000_u64});
    let public = issuer.keys.lock().unwrap()[0]["n"].to_string();
    let confused = encode(
        &header,
        &claims,
        &EncodingKey::from_secret(public.as_bytes()),
    )
    .unwrap();
    assert!(connect(&confused).is_err());
    assert!(connect(&good).is_ok());
}

#[test]
fn clients_of_mysql_bring_them_too() {
    if is_direct() {
        return;
    }
    let issuer = Issuer::start();
    let key = issuer.rotate("one");
    let database = mysql::Database::new(Kind::MySql);
    let proxy = Sluice::start(&issuer.settings(Settings::for_mysql(database.server_port)));
    let login = |audience: &str| mysql::login::Login {
        password: issuer.token(&key, "function:shop-eu", audience),
        ..proxy.login(&database)
    };
    let mut wire = mysql::wire::Wire::connect(&login("sluice")).unwrap();
    assert_eq!(wire.value("select substring_index(user(), '@', 1)"), "app");
    assert!(mysql::wire::Wire::connect(&login("somebody")).is_err());
}
