//! Encryption of connections to PostgreSQL, as `sslmode` and `sslrootcert` in the URL ask for it.
//!
//! | `sslmode` | the server's certificate |
//! |---|---|
//! | `verify-full`, `require` | is signed by a trusted authority, and is for the host of the URL |
//! | `verify-ca` | is signed by a trusted authority |
//! | `prefer`, the default | may be any, as in libpq: Debian's packages create a self-signed one. This keeps out listeners, but not a man in the middle |
//!
//! The authorities are those of the file `sslrootcert`, or the system's.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::server_url::{Check, ServerUrl};
use crate::db::sql::DbError;

/// The TLS settings of connections to this URL.
pub(super) fn encryption(url: &ServerUrl) -> Result<MakeRustlsConnect, DbError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "ring has cipher suites for the default versions")]
    let builder = builder.expect("ring knows TLS");
    let config = match url.check {
        Check::AuthorityAndHost => {
            builder.with_root_certificates(authorities(url.authorities.as_deref())?).with_no_client_auth()
        }
        Check::Authority => {
            let verifier = KnownAuthority { provider, authorities: Some(authorities(url.authorities.as_deref())?) };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        Check::Nothing => {
            let verifier = KnownAuthority { provider, authorities: None };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, DbError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let unusable = |problem: String| DbError::Unsuitable(format!("sslrootcert is {}, {problem}", file.display()));
    let pem = std::fs::read(file).map_err(|error| unusable(format!("which cannot be read: {error}")))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(format!("which is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| unusable(format!("which has an unusable certificate: {error}")))?;
    }
    match roots.is_empty() {
        true => Err(unusable("which has no certificate; allowed: one or more, in PEM".to_owned())),
        false => Ok(roots),
    }
}

/// Accepts certificates for any host: those that one of the authorities has signed, or all without authorities. The server must
/// prove that it has the private key.
#[derive(Debug)]
struct KnownAuthority {
    provider: Arc<CryptoProvider>,
    authorities: Option<RootCertStore>,
}

impl ServerCertVerifier for KnownAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(authorities) = &self.authorities {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, authorities, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
