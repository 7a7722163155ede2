//! The ways in which stores differ from Garage.

/// Behaviour of a store that Garage does not have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manners {
    /// ListMultipartUploads goes on listing what was completed, and aborting such an upload deletes the object, as in
    /// SeaweedFS up to 4.47.
    pub lists_completed: bool,
    /// Answers "no such key" where others answer "no such upload", as Ceph RGW does.
    pub says_no_such_key: bool,
    /// An upload that was completed is open and has no parts, as with s3s-fs and SeaweedFS.
    pub completed_is_open_and_empty: bool,
    /// An upload that was completed is open and has all of its parts still.
    pub completed_keeps_parts: bool,
    /// A completed upload cannot be completed again: 500, as Ceph RGW may say.
    pub completes_once: bool,
    /// A part whose URL was changed after signing is accepted.
    pub takes_any_length: bool,
    /// A part of a completed upload is accepted, as by Swift.
    pub takes_late_parts: bool,
    /// The highest number that a part may have, as Swift's setting `max_upload_part_num` says.
    pub last_part_number: Option<u32>,
    /// No checksums of whole objects are kept.
    pub keeps_no_checksums: bool,
    /// The checksum of each object is that of another one.
    pub says_wrong_checksums: bool,
    /// The parts of an upload that has none cannot be listed: 500, as with RustFS up to 1.0.0-beta.1 (rustfs#2760).
    pub fails_empty_lists: bool,
    /// A part that comes after another one of its upload is answered 503 the first time, as RustFS does to parts that waited too long
    /// for each other's lock (rustfs#6064).
    pub refuses_parts_once: bool,
    /// A PUT without a length is refused: 411, as by Ceph RGW.
    pub wants_lengths: bool,
    /// A call that it does not have.
    pub lacks: Option<Lacks>,
    /// Answers with the whole object where a range was asked for.
    pub ignores_ranges: bool,
    /// A range of an object cannot be read: 409, as Swift answers when a part was replaced after completing.
    pub fails_ranges: bool,
}

/// A call that a store does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacks {
    /// ListMultipartUploads: 501, as with s3s-fs.
    ListUploads,
    /// ListParts: 501.
    ListParts,
    /// PutBucketCors: 405, as a proxy answers that lets some methods pass only.
    SetCors,
}
