//! The verification of servers' certificates beyond what webpki accepts.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

/// Verifies the certificate of a server.
#[derive(Debug)]
pub struct Verifier {
    accepted: Accepted,
    provider: Arc<CryptoProvider>,
}

/// The certificates that are accepted.
#[derive(Debug)]
enum Accepted {
    /// Any whose key the server has.
    Any,
    /// Those of chains that end at a root, and some that a server presents as its own.
    Trusted { chains: Arc<WebPkiServerVerifier>, own: Vec<CertificateDer<'static>> },
}

impl Verifier {
    /// Accepts any certificate whose key the server has.
    pub fn any(provider: Arc<CryptoProvider>) -> Verifier {
        Verifier { accepted: Accepted::Any, provider }
    }

    /// Accepts chains that end at one of `roots`, and the certificates `own` if a server presents one as its own:
    /// `openssl req -x509` makes such ones, docker's documentation uses one for a registry, and other clients accept
    /// them. Name and dates are checked as usual.
    ///
    /// # Errors
    /// If there are no roots.
    pub fn trusting(
        roots: RootCertStore,
        own: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Verifier, VerifierBuilderError> {
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        Ok(Verifier { accepted: Accepted::Trusted { chains, own }, provider })
    }
}

/// Returns true if a server presented the certificate of an authority as its own. webpki checks the dates before that.
pub fn is_authority(error: &CertificateError) -> bool {
    // rustls has no type for it. Scenarios notice a change of the text.
    matches!(error, CertificateError::Other(OtherError(cause)) if cause.to_string() == "CaUsedAsEndEntity")
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Accepted::Trusted { chains, own } = &self.accepted else { return Ok(ServerCertVerified::assertion()) };
        match chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(error))
                if is_authority(&error) && own.iter().any(|certificate| certificate == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
