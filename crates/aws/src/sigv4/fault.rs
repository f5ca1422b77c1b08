//! Why a signature does not open the door, in AWS's words.

use crate::error::AwsError;
use http::StatusCode;

/// Why a request is not taken for one of a key's owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureFault {
    #[error("Missing Authentication Token")]
    Missing,
    /// Something of a signature is there, but not all that is needed.
    #[error("{0}")]
    Incomplete(String),
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// Signed for another service or day.
    #[error("{0}")]
    Scope(String),
    #[error("{0}")]
    Expired(String),
    #[error("The value of x-amz-content-sha256 is not the SHA-256 of the body.")]
    Body,
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS \
         Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

impl SignatureFault {
    /// As AWS answers it: 400 where the protocol is JSON 1.0, 403 where it is REST.
    pub(crate) fn into_error(self, status: StatusCode) -> AwsError {
        let code = match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::Scope(_) | Self::Expired(_) | Self::Body | Self::Mismatch => "InvalidSignatureException",
        };
        AwsError::new(code, self.to_string()).status(status)
    }
}
