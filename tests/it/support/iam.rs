//! IAM tokens, the keys that they are signed with, and servers that have somebody else judge them.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, SystemTime},
};

use sluice::{
    auth::iam::{MAX_TOKEN_LEN, Presign},
    model::Secret,
};

use crate::support::{
    certs::Certs,
    mysql::{Kind, MySql},
    place,
    postgres::Postgres,
    program,
    sluice::Settings,
};

/// The endpoint that tokens are signed for. Nobody can dial it.
pub const ENDPOINT: &str = "mydb.abc123.eu-central-1.rds.amazonaws.com";
pub const REGION: &str = "eu-central-1";
/// The key of `tests/drivers/iam_checker.py`, which is that of AWS's documentation.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// The user of the database who has no password.
pub const USER: &str = "iam_app";

/// A user whom the server lets in without asking for anything.
pub const TRUSTED: &str = "trusted";

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct Token {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub region: String,
    pub key: String,
    pub secret: String,
    /// Seconds since it was signed; less than zero: to come.
    pub age: i64,
    pub session: Option<String>,
}

impl Token {
    /// A good one for the endpoint at that port.
    pub fn at(port: u16) -> Self {
        Self {
            host: ENDPOINT.into(),
            port,
            user: USER.into(),
            region: REGION.into(),
            key: "AKIDEXAMPLE".into(),
            secret: SECRET.into(),
            age: 0,
            session: None,
        }
    }

    /// With the session token of the tests' temporary key.
    pub fn temporary(self) -> Self {
        Self {
            key: "ASIDEXAMPLE".into(),
            session: Some(session()),
            ..self
        }
    }

    /// The token itself.
    pub fn text(&self) -> String {
        let (secret, session) = (
            Secret::new(&*self.secret),
            self.session.as_deref().map(Secret::new),
        );
        let now = SystemTime::now();
        let age = Duration::from_secs(self.age.unsigned_abs());
        let token = Presign {
            host: &self.host,
            port: self.port,
            user: &self.user,
            region: &self.region,
            access_key_id: &self.key,
            secret_access_key: &secret,
            session_token: session.as_ref(),
            issued: if self.age < 0 { now + age } else { now - age },
            life: Duration::from_secs(900),
        };
        String::from_utf8(token.token().unwrap().expose().to_vec()).unwrap()
    }
}

/// What is left of the longest token after all but the session token.
pub fn longest_session(port: u16) -> String {
    let rest = Token {
        session: Some("x".into()),
        ..Token::at(port)
    };
    "x".repeat(MAX_TOKEN_LEN + 1 - rest.text().len())
}

/// The session token of the key `ASIDEXAMPLE`.
pub fn session() -> String {
    format!("FwoGZXIvYXdzE{}==", "session/token+".repeat(40))
}

/// The tables of a configuration that knows both keys; `resource` is what the policy allows.
pub fn keys(resource: &str) -> String {
    let session = session();
    format!(
        r#"
        [[iam_policy]]
        name = "connect"
        policy = '''{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "rds-db:connect", "Resource": "{resource}"}},
            {{"Effect": "Deny", "Action": "rds-db:*", "Resource": "arn:aws:rds-db:*:*:dbuser:*/postgres"}}]}}'''
        [[iam_key]]
        access_key_id = "AKIDEXAMPLE"
        secret_access_key = "{SECRET}"
        account = "123456789012"
        policies = ["connect"]
        [[iam_key]]
        access_key_id = "ASIDEXAMPLE"
        secret_access_key = "{SECRET}"
        session_token = "{session}"
        account = "123456789012"
        policies = ["connect"]
        "#
    )
}

/// Settings under which Sluice itself verifies tokens for the endpoint at its usual port.
pub fn signature(settings: Settings, port: u16) -> Settings {
    settings
        .listener("auth_method", "iam")
        .listener("iam_verification", "signature")
        .listener("iam_region", REGION)
        .listener("iam_hosts", vec![format!("{ENDPOINT}:{port}")])
        .listener("iam_resource_id", "db-ABC")
        .extra(&keys(
            "arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-ABC/*",
        ))
}

/// Settings under which the server verifies tokens for the endpoint at that port.
pub fn delegate(settings: Settings, port: u16) -> Settings {
    settings
        .listener("auth_method", "iam")
        .listener("iam_region", REGION)
        .listener("iam_hosts", vec![format!("{ENDPOINT}:{port}")])
        .group("server_tls_mode", "verify-full")
        .group("server_tls_ca_file", Certs::shared().ca().to_str().unwrap())
}

/// A process that judges tokens for servers; none of the proxy's code is in it.
#[derive(Debug)]
pub struct Checker {
    ldap_port: u16,
    pam_port: u16,
    dir: tempfile::TempDir,
    child: Child,
    /// It ends when this is closed.
    _stdin: ChildStdin,
}

impl Checker {
    /// For tokens that are signed for the endpoint at this port.
    pub fn start(port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(program::python());
        command
            .arg(place::drivers().join("iam_checker.py"))
            .args([&format!("{ENDPOINT}:{port}"), REGION])
            .args([dir.path().join("log"), dir.path().join("revoked")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("run tests/setup.sh");
        let mut ports = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ports)
            .unwrap();
        let ports: Vec<u16> = ports
            .split_whitespace()
            .map(|p| p.parse().unwrap())
            .collect();
        Self {
            ldap_port: ports[0],
            pam_port: ports[1],
            _stdin: child.stdin.take().unwrap(),
            child,
            dir,
        }
    }

    /// What it was asked, and what it said: a user and a verdict a line.
    pub fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
        log.lines().map(Into::into).collect()
    }

    /// From now on tokens of this key are refused.
    pub fn revoke(&self, key: &str) {
        fs::write(self.dir.path().join("revoked"), key).unwrap();
    }

    /// A PostgreSQL server that has it judge the passwords of [`USER`], through LDAP.
    pub fn postgres(&self) -> Postgres {
        let hba = self.dir.path().join("pg_hba.conf");
        let rules = format!(
            "hostssl all {USER} 127.0.0.0/8 ldap ldapserver=127.0.0.1 ldapport={} ldapprefix=\"cn=\" ldapsuffix=\",dc=iam\"\n\
             hostssl all {TRUSTED} 127.0.0.0/8 trust\n\
             host all all 127.0.0.0/8 scram-sha-256\n",
            self.ldap_port
        );
        fs::write(&hba, rules).unwrap();
        open_to_all(&self.dir, &hba);
        let server = Postgres::private(&[("hba_file", hba.to_str().unwrap())]);
        let mut admin = server.admin("postgres");
        admin.succeed(&format!(
            "create role {USER} login; create role {TRUSTED} login"
        ));
        server
    }

    /// A MariaDB server that has it judge the passwords of [`USER`], through PAM.
    pub fn mariadb(&self) -> (MySql, PamService) {
        let service = PamService::new(self.pam_port);
        let settings = [
            ("plugin_load_add", "auth_pam_v1"),
            ("pam_use_cleartext_plugin", "ON"),
        ];
        let server = MySql::private(Kind::MariaDb, &settings);
        let mut admin = server.admin();
        let name = service.name();
        admin.succeed(&format!("create user {TRUSTED}@'%'"));
        admin.succeed(&format!(
            "create user {USER}@'%' identified via pam using '{name}' require ssl"
        ));
        (server, service)
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Servers run as another user.
fn open_to_all(dir: &tempfile::TempDir, file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for (path, mode) in [(dir.path(), 0o755), (file, 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// A service of PAM that asks the checker; removed when dropped.
#[derive(Debug)]
pub struct PamService(PathBuf);

impl PamService {
    fn new(port: u16) -> Self {
        let file = PathBuf::from(format!("/etc/pam.d/sluice-test-{port}"));
        let helper = place::drivers().join("iam_pam.py");
        let text = format!(
            "auth required pam_exec.so expose_authtok quiet /usr/bin/python3 {} {port}\naccount required pam_permit.so\n",
            helper.display()
        );
        if rustix::process::getuid().is_root() {
            fs::write(&file, text).unwrap();
        } else {
            let mut tee = Command::new("sudo");
            tee.args(["-n", "tee"])
                .arg(&file)
                .stdin(Stdio::piped())
                .stdout(Stdio::null());
            let mut tee = tee.spawn().unwrap();
            std::io::Write::write_all(&mut tee.stdin.take().unwrap(), text.as_bytes()).unwrap();
            assert!(
                tee.wait().unwrap().success(),
                "{} cannot be written",
                file.display()
            );
        }
        Self(file)
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for PamService {
    fn drop(&mut self) {
        if fs::remove_file(&self.0).is_err() {
            let _ = Command::new("sudo")
                .args(["-n", "rm", "-f"])
                .arg(&self.0)
                .status();
        }
    }
}
