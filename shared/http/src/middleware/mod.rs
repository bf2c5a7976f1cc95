//! What every request and response passes through: the request id, the log, the headers, error
//! bodies and entity tags. Answers that are kept in the process.

pub(crate) mod cors;
pub(crate) mod errors;
pub(crate) mod etag;
pub(crate) mod headers;
pub(crate) mod hosts;
pub(crate) mod kept_answers;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod request_id;
