//! AWS on this machine: a moto server, from its registry package, with secrets that tests rotate.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::support::{place, program::python, sluice::Settings, wait};

pub const REGION: &str = "eu-central-1";

/// A moto server; killed when dropped.
#[derive(Debug)]
pub struct Moto {
    pub port: u16,
    child: Child,
    dir: tempfile::TempDir,
}

impl Moto {
    /// Starts one and waits until it answers.
    pub fn start() -> Arc<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = place::free_port();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new(python())
            .args([
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut moto = Self { port, child, dir };
        wait::until_within(3 * wait::PATIENCE, "moto to answer", || {
            let ended = moto.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "moto ended with {ended:?}:\n{}",
                moto.log()
            );
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Arc::new(moto)
    }

    /// What it has been asked so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The environment of a program that finds AWS here, and credentials nowhere.
    pub fn surroundings(&self) -> Vec<(&'static str, String)> {
        let nowhere = self.dir.path().join("nowhere").to_str().unwrap().to_owned();
        vec![
            (
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            ),
            ("AWS_REGION", REGION.into()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("AWS_CONFIG_FILE", nowhere.clone()),
            ("AWS_SHARED_CREDENTIALS_FILE", nowhere),
        ]
    }

    /// Settings of a proxy that finds AWS here, with static credentials.
    pub fn attach(&self, mut settings: Settings) -> Settings {
        for (name, value) in self.surroundings() {
            settings = settings.environment(name, value);
        }
        settings
            .environment("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .environment("AWS_SECRET_ACCESS_KEY", "example")
    }

    /// Calls an action of Secrets Manager, which has to succeed.
    pub fn secrets(&self, action: &str, request: &Value) -> Value {
        let body = request.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        write!(
            stream,
            "POST / HTTP/1.0\r\nHost: secretsmanager.{REGION}.amazonaws.com\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261126/{REGION}/secretsmanager/aws4_request, SignedHeaders=host, Signature=0\r\n\
             X-Amz-Target: secretsmanager.{action}\r\nContent-Type: application/x-amz-json-1.1\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{action} {request}: {answer}");
        serde_json::from_str(body).unwrap()
    }

    /// A new secret of RDS's form.
    pub fn secret(self: &Arc<Self>, name: &str, user: &str, password: &str) -> Secret {
        let request = json!({
            "Name": name,
            "SecretString": content(user, password),
            "ClientRequestToken": token(0),
        });
        let made = self.secrets("CreateSecret", &request);
        Secret {
            moto: Arc::clone(self),
            arn: made["ARN"].as_str().unwrap().to_owned(),
            current: made["VersionId"].as_str().unwrap().to_owned(),
            versions: 1,
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A secret, rotated as AWS's own rotation functions do.
#[derive(Debug)]
pub struct Secret {
    moto: Arc<Moto>,
    pub arn: String,
    current: String,
    versions: u32,
}

impl Secret {
    /// Step `createSecret`: the coming version is there, as AWSPENDING. Its id.
    pub fn put_pending(&mut self, user: &str, password: &str) -> String {
        let id = token(self.versions);
        self.versions += 1;
        let request = json!({
            "SecretId": self.arn,
            "ClientRequestToken": id,
            "SecretString": content(user, password),
            "VersionStages": ["AWSPENDING"],
        });
        self.moto.secrets("PutSecretValue", &request);
        id
    }

    /// Step `finishSecret`: that version is in force, the former is AWSPREVIOUS.
    pub fn promote(&mut self, id: String) {
        let request = json!({
            "SecretId": self.arn,
            "VersionStage": "AWSCURRENT",
            "MoveToVersionId": id,
            "RemoveFromVersionId": self.current,
        });
        self.moto.secrets("UpdateSecretVersionStage", &request);
        self.current = id;
    }

    /// User and password in force.
    pub fn read(&self) -> (String, String) {
        // Without a stage, moto tells the first version for ever.
        let request = json!({ "SecretId": self.arn, "VersionStage": "AWSCURRENT" });
        let read = self.moto.secrets("GetSecretValue", &request);
        let value: Value = serde_json::from_str(read["SecretString"].as_str().unwrap()).unwrap();
        let field = |name: &str| value[name].as_str().unwrap().to_owned();
        (field("username"), field("password"))
    }
}

fn content(user: &str, password: &str) -> String {
    json!({ "username": user, "password": password, "engine": "any", "host": "nowhere", "port": 1 })
        .to_string()
}

fn token(number: u32) -> String {
    format!("00000000-0000-0000-0000-{number:012}")
}
