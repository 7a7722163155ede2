//! How an upload is said to each server.

use std::time::Duration;

use clap::ValueEnum;
use rusty_s3::actions::{CompleteMultipartUpload, CreateMultipartUpload, UploadPart};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use serde_json::{Value, json};
use url::Url;

use crate::http::Connection;
use crate::{Failure, ServerArgs};

/// Part size where the client chooses it: the same that Partway dictates.
const PART_BYTES: u64 = 10 * 1024 * 1024;
const URL_LIFE: Duration = Duration::from_secs(3600);

/// What speaks at the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Partway.
    Partway,
    /// nginx with `dav_methods PUT`: every part a file, never joined.
    Nginx,
    /// An S3 store, bucket `bench`.
    S3,
}

/// A server, and the permission to use it.
pub(crate) enum Target {
    Partway { key: String },
    Nginx,
    S3 { bucket: Box<Bucket>, credentials: Credentials },
}

/// An upload that was started.
pub(crate) struct Upload {
    id: String,
    name: String,
    parts: Vec<Part>,
}

/// Where a part goes, and which bytes it has.
pub(crate) struct Part {
    pub(crate) path: String,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Upload {
    fn new(
        id: &str,
        name: &str,
        size: u64,
        part_size: u64,
        path: impl Fn(usize) -> Result<String, Failure>,
    ) -> Result<Self, Failure> {
        let parts = (0..size.div_ceil(part_size)).zip(0..).map(|(index, number)| {
            let offset = index * part_size;
            Ok(Part { path: path(number)?, offset, length: part_size.min(size - offset) })
        });
        Ok(Self { id: id.to_owned(), name: name.to_owned(), parts: parts.collect::<Result<_, Failure>>()? })
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Target {
    pub(crate) fn new(server: &ServerArgs) -> Result<Self, Failure> {
        Ok(match server.target {
            Kind::Partway => Self::Partway { key: server.key.clone() },
            Kind::Nginx => Self::Nginx,
            Kind::S3 => {
                let (id, secret) = server.key.split_once(':').ok_or("--key must be ID:SECRET")?;
                let endpoint = Url::parse(&format!("http://{}", server.address))?;
                let bucket = Bucket::new(endpoint, UrlStyle::Path, "bench", "garage")?;
                Self::S3 { bucket: Box::new(bucket), credentials: Credentials::new(id, secret) }
            }
        })
    }

    pub(crate) fn start(&self, connection: &mut Connection, name: &str, size: u64) -> Result<Upload, Failure> {
        match self {
            Self::Partway { key } => {
                let body = json!({"file_name": name, "size": size, "format": "application/octet-stream"});
                let answer = post_json(connection, "/api/v1/multipart/start", key, &body)?;
                let part_size = answer["part_size"].as_u64().ok_or("no part_size")?;
                let id = answer["session_id"].as_str().ok_or("no session_id")?;
                Upload::new(id, name, size, part_size, |index| {
                    path_of(answer["parts"][index].as_str().ok_or("no part URL")?)
                })
            }
            Self::Nginx => Upload::new("", name, size, PART_BYTES, |index| Ok(format!("/{name}.{index}"))),
            Self::S3 { bucket, credentials } => {
                let url = CreateMultipartUpload::new(bucket, Some(credentials), name).sign(URL_LIFE);
                let answer = connection.send("POST", &path_of(url.as_str())?, "", b"")?.expect(200)?;
                let parsed = CreateMultipartUpload::parse_response(&String::from_utf8(answer.body)?)?;
                let id = parsed.upload_id();
                Upload::new(id, name, size, PART_BYTES, |index| {
                    let number = u16::try_from(index + 1)?;
                    path_of(UploadPart::new(bucket, Some(credentials), name, number, id).sign(URL_LIFE).as_str())
                })
            }
        }
    }

    /// Completes; the hash where the server tells one.
    pub(crate) fn complete(
        &self,
        connection: &mut Connection,
        upload: &Upload,
        tags: &[String],
    ) -> Result<Option<String>, Failure> {
        match self {
            Self::Partway { key } => {
                let body = json!({"session_id": upload.id});
                let answer = post_json(connection, "/api/v1/multipart/complete", key, &body)?;
                Ok(answer["hash"].as_str().map(str::to_owned))
            }
            Self::Nginx => Ok(None),
            Self::S3 { bucket, credentials } => {
                let tags = tags.iter().map(String::as_str);
                let action = CompleteMultipartUpload::new(bucket, Some(credentials), &upload.name, &upload.id, tags);
                let path = path_of(action.sign(URL_LIFE).as_str())?;
                connection.send("POST", &path, "", action.body().as_bytes())?.expect(200)?;
                Ok(None)
            }
        }
    }
}

fn post_json(connection: &mut Connection, path: &str, key: &str, body: &Value) -> Result<Value, Failure> {
    let headers = format!("Authorization: Bearer {key}\r\nContent-Type: application/json\r\n");
    let answer = connection.send("POST", path, &headers, body.to_string().as_bytes())?.expect(201)?;
    Ok(serde_json::from_slice(&answer.body)?)
}

fn path_of(url: &str) -> Result<String, Failure> {
    let url = Url::parse(url)?;
    Ok(url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path())))
}
