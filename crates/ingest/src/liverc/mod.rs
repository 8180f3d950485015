//! Everything known about LiveRC: its pages, their JavaScript, its times, and the client that fetches them.
//!
//! Pages go in as text and come out as the types of [`crate::model`]. Nothing here knows of PostgreSQL, and only
//! [`client`] does any I/O.

mod bounds;
pub mod client;
pub mod describe;
pub mod entry_list;
pub mod error;
pub mod event_page;
mod fetch_error;
mod gate;
mod html;
pub mod kind;
pub mod race_page;
pub mod racer_laps;
pub mod retry_after;
mod script;
pub mod text;
pub mod times;
mod title;
pub mod urls;
pub mod validate;

pub use client::{Client, ClientSettings, FetchError, Page};
pub use describe::describe;
pub use error::PageError;
pub use kind::PageKind;
pub use urls::LivercUrls;
pub use urls::host_label;
pub use validate::parse_race;
