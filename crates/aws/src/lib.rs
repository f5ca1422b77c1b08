//! AWS's own protocols on Bourn's port: the Step Functions API, the Lambda Invoke API, Signature Version 4.
