//! How an upload is said to each server.

use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use rusty_s3::actions::{CompleteMultipartUpload, CreateMultipartUpload, UploadPart};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use serde_json::Value;
use url::Url;

use crate::http::{Connections, Place};
use crate::partway::Partway;
use crate::{Failure, ServerArgs};

/// Part size where the client chooses it: the same that Partway dictates.
const PART_BYTES: u64 = 10 * 1024 * 1024;
const URL_LIFE: Duration = Duration::from_secs(3600);

/// The kind of server at the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Partway. Its parts go wherever it says: to itself, or to a store.
    Partway,
    /// nginx with `dav_methods PUT`: every part a file, never joined.
    Nginx,
    /// An S3 store, bucket `bench`.
    S3,
}

/// A server, and the permission to use it.
pub(crate) enum Target {
    Partway(Partway),
    Nginx { address: SocketAddr },
    S3 { bucket: Box<Bucket>, credentials: Credentials },
}

/// An upload that was started.
pub(crate) struct Upload {
    id: String,
    name: String,
    parts: Vec<Part>,
}

/// The file as complete answered it; only Partway answers any of it.
#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) hash: Option<String>,
    pub(crate) url: Option<String>,
}

/// Where a part goes, and which bytes it has.
pub(crate) struct Part {
    pub(crate) place: Place,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Upload {
    fn new(
        id: &str,
        name: &str,
        size: u64,
        part_size: u64,
        place: impl Fn(usize) -> Result<Place, Failure>,
    ) -> Result<Self, Failure> {
        let parts = (0..size.div_ceil(part_size)).zip(0..).map(|(index, number)| {
            let offset = index * part_size;
            Ok(Part { place: place(number)?, offset, length: part_size.min(size - offset) })
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
            Kind::Partway => Self::Partway(Partway::new(server)),
            Kind::Nginx => Self::Nginx { address: server.address },
            Kind::S3 => {
                let (id, secret) = server.key.split_once(':').ok_or("--key must be ID:SECRET")?;
                let endpoint = Url::parse(&format!("http://{}", server.address))?;
                let bucket = Bucket::new(endpoint, UrlStyle::Path, "bench", "garage")?;
                Self::S3 { bucket: Box::new(bucket), credentials: Credentials::new(id, secret) }
            }
        })
    }

    pub(crate) fn start(&self, connections: &mut Connections, name: &str, size: u64) -> Result<Upload, Failure> {
        match self {
            Self::Partway(partway) => {
                let answer: Value = serde_json::from_slice(&partway.start(connections, name, size)?.body)?;
                let part_size = answer["part_size"].as_u64().ok_or("no part_size")?;
                let id = answer["session_id"].as_str().ok_or("no session_id")?;
                Upload::new(id, name, size, part_size, |index| {
                    Place::parse(answer["parts"][index].as_str().ok_or("no part URL")?)
                })
            }
            Self::Nginx { address } => {
                Upload::new("", name, size, PART_BYTES, |index| Ok(Place::at(*address, &format!("/{name}.{index}"))))
            }
            Self::S3 { bucket, credentials } => {
                let url = CreateMultipartUpload::new(bucket, Some(credentials), name).sign(URL_LIFE);
                let answer = connections.send("POST", &Place::parse(url.as_str())?, "", b"")?.expect(200)?;
                let parsed = CreateMultipartUpload::parse_response(&String::from_utf8(answer.body)?)?;
                let id = parsed.upload_id();
                Upload::new(id, name, size, PART_BYTES, |index| {
                    let number = u16::try_from(index + 1)?;
                    let url = UploadPart::new(bucket, Some(credentials), name, number, id).sign(URL_LIFE);
                    Place::parse(url.as_str())
                })
            }
        }
    }

    /// Completes.
    pub(crate) fn complete(
        &self,
        connections: &mut Connections,
        upload: &Upload,
        tags: &[String],
    ) -> Result<Stored, Failure> {
        match self {
            Self::Partway(partway) => {
                let record = partway.complete(connections, &upload.id)?;
                let text = |name: &str| record[name].as_str().map(str::to_owned);
                Ok(Stored { hash: text("hash"), url: text("url") })
            }
            Self::Nginx { .. } => Ok(Stored::default()),
            Self::S3 { bucket, credentials } => {
                let tags = tags.iter().map(String::as_str);
                let action = CompleteMultipartUpload::new(bucket, Some(credentials), &upload.name, &upload.id, tags);
                let place = Place::parse(action.sign(URL_LIFE).as_str())?;
                connections.send("POST", &place, "", action.body().as_bytes())?.expect(200)?;
                Ok(Stored::default())
            }
        }
    }
}
