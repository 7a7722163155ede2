//! The media types that files of people and programs have: one canonical spelling of each, its other spellings, and its
//! file extensions.
//!
//! A canonical spelling is the one that browsers play or show; among those, the one registered at IANA. Types that are not here keep the
//! spelling that a client or a file gives them, and `mime_guess` knows their extensions.

/// The type of files of which nothing is known.
pub const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Type and subtype without parameters (RFC 9110, section 8.3.1).
pub fn essence(mime_type: &str) -> &str {
    mime_type.split(';').next().unwrap_or_default().trim()
}

/// A media type.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownType {
    /// Its canonical spelling, without parameters.
    pub name: &'static str,
    /// Its file extensions, the usual one first. A name that ends in one of them is taken to have the type.
    pub extensions: &'static [&'static str],
    /// Other spellings that browsers, operating systems and libraries use.
    spellings: &'static [&'static str],
}

/// Finds the type by any of its spellings, without parameters.
pub fn known_type(essence: &str) -> Option<&'static KnownType> {
    let is = |spelling: &&str| essence.eq_ignore_ascii_case(spelling);
    KNOWN.iter().find(|known| is(&known.name) || known.spellings.iter().any(is))
}

/// Finds the type of names with this extension.
pub fn type_of_extension(extension: &str) -> Option<&'static KnownType> {
    KNOWN.iter().find(|known| known.extensions.iter().any(|own| own.eq_ignore_ascii_case(extension)))
}

const fn known(
    name: &'static str,
    extensions: &'static [&'static str],
    spellings: &'static [&'static str],
) -> KnownType {
    KnownType { name, extensions, spellings }
}

#[rustfmt::skip]
const KNOWN: &[KnownType] = &[
    known("image/jpeg", &["jpg", "jpeg", "jpe", "jfif"], &["image/jpg", "image/pjpeg", "image/x-citrix-jpeg"]),
    known("image/png", &["png"], &["image/x-png", "image/x-citrix-png"]),
    known("image/apng", &["apng"], &["image/vnd.mozilla.apng"]),
    known("image/gif", &["gif"], &[]),
    known("image/webp", &["webp"], &[]),
    known("image/avif", &["avif", "avifs"], &["image/avif-sequence"]),
    known("image/heic", &["heic"], &[]),
    known("image/heif", &["heif", "hif"], &[]),
    known("image/jxl", &["jxl"], &[]),
    known("image/jp2", &["jp2"], &["image/x-jp2", "image/jpeg2000", "image/jpeg2000-image"]),
    known("image/x-jp2-codestream", &["j2k", "j2c", "jpc"], &["image/j2c"]),
    known("image/jxr", &["jxr", "wdp", "hdp"], &["image/vnd.ms-photo"]),
    known("image/jls", &["jls"], &["image/x-jls"]),
    known("image/bmp", &["bmp", "dib"], &["image/x-bmp", "image/x-ms-bmp"]),
    known("image/tiff", &["tiff", "tif"], &["image/tif", "image/x-tiff"]),
    known("image/x-adobe-dng", &["dng"], &["image/dng"]),
    known("image/vnd.microsoft.icon", &["ico"], &["image/x-icon", "image/ico", "image/icon"]),
    known("image/x-win-bitmap", &["cur"], &["image/cur"]),
    known("image/vnd.adobe.photoshop", &["psd", "psb"], &["image/psd", "image/x-psd", "image/x-psb", "image/x-photoshop", "application/photoshop", "application/x-photoshop"]),
    known("image/svg+xml", &["svg", "svgz"], &["image/svg", "image/svg-xml"]),
    known("image/qoi", &["qoi"], &["image/x-qoi"]),
    known("image/x-exr", &["exr"], &["image/aces"]),
    known("image/vnd.radiance", &["hdr"], &["image/x-hdr"]),
    known("image/vnd-ms.dds", &["dds"], &["image/x-dds"]),
    known("image/x-tga", &["tga"], &["image/tga", "image/x-targa"]),
    known("image/x-pcx", &["pcx"], &["image/pcx", "image/vnd.zbrush.pcx"]),
    known("image/x-icns", &["icns"], &["image/icns"]),
    known("image/x-eps", &["eps"], &["application/eps", "application/x-eps", "image/eps"]),

    known("video/mp4", &["mp4", "m4s", "mp4v", "f4v"], &["video/x-mp4", "video/x-f4v"]),
    known("video/x-m4v", &["m4v"], &["video/m4v"]),
    known("video/quicktime", &["mov", "qt"], &["video/x-quicktime"]),
    known("video/3gpp", &["3gp", "3gpp"], &["video/3gp"]),
    known("video/3gpp2", &["3g2"], &["video/3g2"]),
    known("video/webm", &["webm"], &[]),
    known("video/x-matroska", &["mkv"], &["video/matroska", "video/mkv", "application/x-matroska"]),
    known("video/mp2t", &["ts", "mts", "m2ts", "m2t"], &["video/vnd.dlna.mpeg-tts", "video/mp2ts", "video/m2ts", "video/x-mpegts", "video/x-m2ts", "video/mpegts"]),
    known("video/mpeg", &["mpg", "mpeg", "mpe", "vob"], &["video/mpg", "video/x-mpeg", "video/x-mpeg2", "video/x-ms-vob", "video/vnd.mpegvideo", "video/dvd", "video/mp2p"]),
    known("video/x-msvideo", &["avi"], &["video/avi", "video/msvideo", "video/vnd.avi"]),
    known("video/x-flv", &["flv"], &["video/flv", "application/x-flash-video"]),
    known("video/x-ms-wmv", &["wmv"], &["video/x-ms-wm"]),
    known("video/x-ms-asf", &["asf"], &["application/vnd.ms-asf"]),
    known("video/ogg", &["ogv"], &["video/x-ogg", "video/theora", "video/x-theora"]),
    known("video/x-dv", &["dv"], &["video/dv"]),
    known("video/x-ivf", &["ivf"], &["video/ivf"]),
    known("video/x-nut", &["nut"], &[]),
    known("video/x-yuv4mpeg", &["y4m"], &["video/yuv4mpeg"]),
    known("application/mxf", &["mxf"], &["video/mxf"]),
    known("application/vnd.rn-realmedia", &["rm", "rmvb"], &["application/vnd.rn-realmedia-vbr"]),

    known("audio/mpeg", &["mp3", "mp2", "mpga"], &["audio/mp3", "audio/x-mp3", "audio/x-mpeg", "audio/mpeg3", "audio/x-mpeg-3", "audio/mpg", "audio/mp2", "audio/x-mp2"]),
    known("audio/mp4", &["m4a", "m4b", "f4a"], &["audio/m4a", "audio/x-m4a", "audio/m4b", "audio/x-m4b", "audio/x-mp4"]),
    known("audio/mp4a-latm", &["latm", "loas"], &[]),
    known("audio/aac", &["aac", "adts"], &["audio/x-aac", "audio/aacp", "audio/vnd.dlna.adts"]),
    known("audio/flac", &["flac"], &["audio/x-flac", "application/x-flac"]),
    known("audio/wav", &["wav", "wave"], &["audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav"]),
    known("audio/ogg", &["ogg", "oga", "opus", "spx"], &["audio/opus", "audio/x-ogg", "audio/vorbis", "audio/x-vorbis+ogg", "audio/x-opus+ogg"]),
    known("audio/webm", &["weba"], &[]),
    known("audio/x-matroska", &["mka"], &["audio/matroska"]),
    known("audio/aiff", &["aiff", "aif", "aifc"], &["audio/x-aiff", "audio/x-aifc", "audio/aifc"]),
    known("audio/x-ms-wma", &["wma"], &["audio/wma"]),
    known("audio/x-caf", &["caf"], &["audio/caf"]),
    known("audio/midi", &["mid", "midi"], &["audio/mid", "audio/x-midi", "audio/x-mid"]),
    known("audio/amr", &["amr"], &["audio/x-amr"]),
    known("audio/amr-wb", &["awb"], &["audio/x-amr-wb"]),
    known("audio/ac3", &["ac3"], &["audio/x-ac3"]),
    known("audio/eac3", &["eac3", "ec3"], &["audio/x-eac3", "audio/vnd.dolby.dd-raw"]),
    known("audio/vnd.dts", &["dts"], &["audio/x-dts"]),
    known("audio/basic", &["au", "snd"], &["audio/x-au"]),
    known("audio/x-tta", &["tta"], &["audio/tta"]),
    known("audio/x-voc", &["voc"], &["audio/voc"]),
    known("audio/x-wavpack", &["wv"], &["audio/wavpack"]),
    known("audio/x-w64", &["w64"], &["audio/w64"]),
    known("audio/x-gsm", &["gsm"], &["audio/gsm"]),
    known("application/vnd.apple.mpegurl", &["m3u8"], &["application/x-mpegurl", "audio/x-mpegurl", "audio/mpegurl", "vnd.apple.mpegurl"]),

    known("font/ttf", &["ttf"], &["font/sfnt", "application/font-sfnt", "application/x-font-ttf", "application/x-font-truetype"]),
    known("font/otf", &["otf"], &["application/x-font-otf", "application/x-font-opentype", "application/vnd.ms-opentype"]),
    known("font/woff", &["woff"], &["application/font-woff", "application/x-font-woff"]),
    known("font/woff2", &["woff2"], &["application/font-woff2", "application/x-font-woff2"]),
    known("font/collection", &["ttc", "otc"], &[]),

    known("text/plain", &["txt", "text", "log", "conf", "tsx"], &[]),
    known("text/html", &["html", "htm"], &[]),
    known("application/xhtml+xml", &["xhtml"], &[]),
    known("text/markdown", &["md", "markdown"], &["text/x-markdown"]),
    known("text/csv", &["csv"], &["application/csv", "text/x-csv", "text/comma-separated-values", "text/x-comma-separated-values"]),
    known("text/tab-separated-values", &["tsv"], &["text/tsv"]),
    known("text/css", &["css"], &[]),
    known("text/javascript", &["js", "mjs"], &["application/javascript", "application/x-javascript", "text/ecmascript", "application/ecmascript"]),
    known("text/vtt", &["vtt"], &[]),
    known("text/vcard", &["vcf", "vcard"], &["text/x-vcard", "text/directory"]),
    known("text/calendar", &["ics"], &[]),
    known("application/x-subrip", &["srt"], &["text/srt", "text/x-srt"]),
    known("application/json", &["json"], &["text/json", "application/x-json"]),
    known("application/x-ndjson", &["ndjson", "jsonl"], &["application/jsonl", "application/jsonlines", "application/x-jsonlines", "application/ndjson"]),
    known("application/x-ipynb+json", &["ipynb"], &[]),
    known("application/xml", &["xml"], &["text/xml"]),
    known("application/yaml", &["yaml", "yml"], &["application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml"]),
    known("application/toml", &["toml"], &["text/toml", "text/x-toml"]),
    known("application/x-sh", &["sh"], &["text/x-sh", "text/x-shellscript", "application/x-shellscript"]),
    known("message/rfc822", &["eml"], &[]),
    known("multipart/related", &["mhtml", "mht"], &["application/x-mimearchive"]),
    known("application/rtf", &["rtf"], &["text/rtf", "application/x-rtf", "text/richtext"]),
    known("application/pdf", &["pdf"], &["application/x-pdf"]),
    known("application/postscript", &["ps", "ai"], &[]),

    known("application/zip", &["zip"], &["application/x-zip", "application/x-zip-compressed"]),
    known("application/gzip", &["gz", "tgz"], &["application/x-gzip"]),
    known("application/x-bzip2", &["bz2"], &["application/x-bzip", "application/bzip2"]),
    known("application/x-xz", &["xz"], &["application/xz"]),
    known("application/zstd", &["zst"], &["application/x-zstd"]),
    known("application/x-7z-compressed", &["7z"], &["application/7z"]),
    known("application/vnd.rar", &["rar"], &["application/x-rar", "application/x-rar-compressed", "application/rar"]),
    known("application/x-tar", &["tar"], &["application/tar"]),
    known("application/x-iso9660-image", &["iso"], &["application/x-cd-image", "application/vnd.efi.iso"]),
    known("application/vnd.debian.binary-package", &["deb"], &["application/x-deb", "application/x-debian-package"]),
    known("application/vnd.sqlite3", &["sqlite", "sqlite3"], &["application/x-sqlite3"]),
    known("application/vnd.apache.arrow.file", &["arrow"], &[]),
    known("application/vnd.apache.orc", &["orc"], &[]),
    known("application/java-archive", &["jar"], &["application/x-java-archive", "application/x-jar"]),
    known("application/vnd.comicbook+zip", &["cbz"], &["application/x-cbz"]),
    known("application/vnd.comicbook-rar", &["cbr"], &["application/x-cbr"]),
    known("application/x-pem-file", &["pem"], &[]),
    known("application/pkix-cert", &["cer", "crt", "der"], &["application/x-x509-ca-cert"]),
    known("application/vnd.microsoft.portable-executable", &["exe", "dll"], &["application/x-msdownload", "application/x-dosexec", "application/x-msdos-program", "application/x-ms-dos-executable"]),
    known("model/stl", &["stl"], &["application/vnd.ms-pki.stl", "application/sla", "application/x-navistyle"]),
    known("model/obj", &["obj"], &["application/x-tgif"]),
    known("model/3mf", &["3mf"], &["application/vnd.ms-package.3dmanufacturing-3dmodel+xml"]),
    known("model/vnd.usdz+zip", &["usdz"], &["model/usd"]),
    known(UNKNOWN_TYPE, &["bin", "dump", "img"], &["binary/octet-stream", "application/x-binary", "application/binary", "application/unknown", "application/x-unknown"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_spelling_and_no_extension_has_two_types() {
        let mut spellings = BTreeSet::new();
        let mut extensions = BTreeSet::new();
        for known in KNOWN {
            for spelling in known.spellings.iter().chain([&known.name]) {
                assert!(spellings.insert(*spelling), "{spelling} is there twice");
                assert_eq!(spelling.to_ascii_lowercase(), **spelling);
            }
            assert!(!known.extensions.is_empty(), "{} has no extension", known.name);
            for extension in known.extensions {
                assert!(extensions.insert(*extension), "{extension} is there twice");
            }
        }
    }

    #[test]
    fn every_spelling_finds_the_canonical_one() {
        for (spelling, name) in [
            ("audio/m4a", "audio/mp4"),
            ("Video/Matroska", "video/x-matroska"),
            ("binary/octet-stream", UNKNOWN_TYPE),
            ("image/png", "image/png"),
        ] {
            assert_eq!(known_type(spelling).map(|known| known.name), Some(name));
        }
        assert_eq!(known_type("application/x-unheard-of"), None);
        assert_eq!(type_of_extension("MTS").map(|known| known.name), Some("video/mp2t"));
    }
}
