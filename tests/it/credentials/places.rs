//! Credentials of the places where programs run: the agent of a container (ECS, EKS Pod Identity) and the metadata of
//! an instance. Neither is to be had outside AWS, so a service stands in for them that answers as their
//! documentation says.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::tokens::{finished, token};
use crate::support::aws::REGION;

/// Answers each request by `answer(method and path, headers)`; `None` is 404.
fn service(answer: fn(&str, &str) -> Option<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            one(stream.unwrap(), answer, &log);
        }
    });
    (url, asked)
}

fn one(mut stream: TcpStream, answer: fn(&str, &str) -> Option<String>, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let what = first.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<String> = lines
        .map(|line| line.unwrap().to_ascii_lowercase())
        .take_while(|line| !line.is_empty())
        .collect();
    let (status, body) = match answer(&what, &headers.join("\n")) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", String::new()),
    };
    log.lock().unwrap().push(what);
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\
         X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn keys(key: &str) -> String {
    format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","LastUpdated":"2026-01-01T00:00:00Z","AccessKeyId":"{key}",
            "SecretAccessKey":"x","Token":"session","Expiration":"2099-01-01T00:00:00Z"}}"#
    )
}

#[test]
fn credentials_of_a_container_are_found() {
    let (url, asked) = service(|what, headers| {
        let right = what == "GET /credentials" && headers.contains("authorization: of the pod");
        right.then(|| keys("AKIDCONTAINER"))
    });
    let mut command = token("db.internal");
    command
        .env("AWS_REGION", REGION)
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("{url}/credentials"),
        )
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of the pod");
    let told = finished(command);
    assert!(
        told.stdout.contains("Credential=AKIDCONTAINER"),
        "{told:?} {asked:?}"
    );
    assert!(
        told.stdout.contains("X-Amz-Security-Token=session"),
        "{told:?}"
    );
}

/// Version 2 of the service: a session first. The region is the instance's too.
#[test]
fn credentials_and_region_of_an_instance_are_found() {
    let (url, asked) = service(|what, headers| {
        if what == "PUT /latest/api/token" {
            return Some("of the session".into());
        }
        if !headers.contains("x-aws-ec2-metadata-token: of the session") {
            return None;
        }
        match what {
            "GET /latest/meta-data/placement/region" => Some(REGION.into()),
            "GET /latest/meta-data/iam/security-credentials/" => Some("sluice".into()),
            "GET /latest/meta-data/iam/security-credentials/sluice" => Some(keys("AKIDINSTANCE")),
            _ => None,
        }
    });
    let mut command = token("db.internal");
    command
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
    let told = finished(command);
    assert!(
        told.stdout.contains("Credential=AKIDINSTANCE"),
        "{told:?} {asked:?}"
    );
    assert!(told.stdout.contains(&format!("%2F{REGION}%2F")), "{told:?}");
}
