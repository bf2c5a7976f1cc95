//! Use case notify: from what happened to messages that people read.
//!
//! * A **notification** is about one thing that happened: a row of the audit log, or a condition that lasts, such as late
//!   data. Rules of the organization's configuration say which channels it goes to.
//! * A **channel** collects notifications and sends them as one **message**: after a short wait, at most one in each
//!   interval, and not in quiet hours. So ten thousand notifications are a few messages.
//! * Notifications follow from rows that were committed with the changes. The position up to which the log was read, and
//!   what channels have to send, are changed in one commit. So a killed process loses nothing.
//! * A message is sent **at least once**. It has one id however often it is sent, so receivers can recognize it.
//! * A channel that fails has a **circuit breaker**. What comes meanwhile is held and sent as one message later. Other
//!   channels report that it opened; a channel never reports its own failure.
//! * A **digest** is a message with numbers, sent each day or week. Each statement has a link to what proves it.
//!
//! No secret and no address is in a record, a log or an error: the configuration names variables, and [`SecretSource`]
//! returns their values.

mod audit_rows;
mod breaker;
mod channel_state;
mod channels;
mod condition;
mod deliver;
mod digest;
mod error;
mod gather;
mod health;
mod history;
mod message;
mod notification;
mod notifier;
mod picture;
mod plain_text;
mod schedule;
mod state;
mod text;

pub use channel_state::{ChannelState, PendingGroup};
pub use channels::{HttpAnswer, HttpPost, Mail, NoAnswer, PICTURE_ID, SendOutcome, Transport, is_loopback};
pub use condition::{Condition, OrgFacts};
pub use digest::{DigestContent, DigestNote, DigestNumber, DigestRequest, DigestSource, NoteRule};
pub use error::{NotifyError, Result};
pub use health::{RateLimit, RunHealth, RunOutcome, load_health, record_run};
pub use history::{SentMessage, list_messages};
pub use message::{MessageLine, RichMessage};
pub use notification::Notification;
pub use notifier::{
    ApprovalLinkSource, ChannelSecrets, FactSource, NoSecret, Notifier, NotifyOrg, NotifyPorts, RunReport,
    SecretSource,
};
pub use picture::{ChartSource, Picture, PictureRequest, PictureSource};
pub use state::{ActiveCondition, ChannelStatus, channel_status};
