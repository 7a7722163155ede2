//! One request, read as a call of the S3 API.

/// One request.
pub(super) struct Call {
    pub(super) method: String,
    /// The path, still encoded, without the bucket.
    pub(super) key: String,
    query: Vec<(String, String)>,
}

impl Call {
    pub(super) fn new(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
        let query = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Some(Self { method, key, query: query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() })
    }

    pub(super) fn value(&self, wanted: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    pub(super) fn upload(&self) -> Option<(String, String)> {
        Some((self.key.clone(), self.value("uploadId")?.to_owned()))
    }

    pub(super) fn part_number(&self) -> Option<u32> {
        self.value("partNumber")?.parse().ok().filter(|_| self.method == "PUT")
    }

    pub(super) fn opens_upload(&self) -> bool {
        self.method == "POST" && self.value("uploads").is_some()
    }

    pub(super) fn completes_upload(&self) -> bool {
        self.method == "POST" && self.value("uploadId").is_some()
    }

    pub(super) fn lists_parts(&self) -> bool {
        self.method == "GET" && self.value("uploadId").is_some()
    }

    pub(super) fn sets_cors(&self) -> bool {
        self.method == "PUT" && self.value("cors").is_some()
    }

    pub(super) fn lists_uploads(&self) -> bool {
        self.method == "GET" && self.value("uploads").is_some()
    }
}
