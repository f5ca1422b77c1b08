//! AWS's own protocols on Bourn's port: the Step Functions API, the Lambda Invoke API, Signature Version 4.
//!
//! [`router`] gives one axum router: `POST /` with `X-Amz-Target: AWSStepFunctions.*` is the Step Functions
//! API (AWS JSON 1.0), `/2015-03-31/functions…` the Lambda API (REST-JSON). Shapes, names and limits are
//! those of AWS's published service models (`states-2016-11-23`, `lambda-2015-03-31`), so that SDKs raise
//! the exceptions they have for them.
//!
//! With access keys in `aws.keys`, every call must carry a right signature. Without, signatures are not
//! looked at, and whoever mounts the router guards it.
//!
//! What is deliberately absent: IAM roles and policies, sessions, KMS, machine versions and aliases, and
//! calls that change functions.

mod error;
mod lambda;
mod request;
mod router;
mod seam;
mod sigv4;
mod states;

pub use router::{AwsOptions, router};
pub use seam::StepFunctions;
