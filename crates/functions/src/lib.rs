//! Functions: a user's processes behind the AWS Lambda Runtime API, from none to many and back.
