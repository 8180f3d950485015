//! What an engine's transactions begin with: the fence is checked, and held so that newer engines wait until they end.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::error::doing;
use super::session::args;
use super::{Session, StoreError, encode};
use crate::settings::UnitSettings;

const FENCE: &str = "SELECT fence, pg_backend_pid() FROM ingest_events WHERE event_id = $1 FOR SHARE";

/// Opens a transaction and holds the fence, in one round trip.
pub(super) async fn begin(session: &mut Session, event: u64, fence: i64) -> Result<(), StoreError> {
    let what = "checking the fence";
    let sql = FENCE.replace("$1", &encode::id(event)?.to_string());
    let rows = session.begin_with(what, &sql).await?;
    let row = rows.first().ok_or_else(|| doing(what)(sqlx::Error::RowNotFound))?;
    check(session, row, event, fence)
}

/// Opens the transaction of a unit and holds the fence: in two statements where every statement is made by itself.
pub(super) async fn begin_unit(
    session: &mut Session,
    settings: &UnitSettings,
    event: u64,
    fence: i64,
) -> Result<(), StoreError> {
    if !super::one_by_one(settings) {
        return begin(session, event, fence).await;
    }
    session.begin().await?;
    let row = session.row("checking the fence", FENCE, args![encode::id(event)?]).await?;
    check(session, &row, event, fence)
}

/// Whether this engine is the newest, by a row that begins with the fence and the backend's process id.
pub(super) fn check(session: &mut Session, row: &PgRow, event: u64, fence: i64) -> Result<(), StoreError> {
    let what = "checking the fence";
    session.backend = Some(row.try_get(1).map_err(doing(what))?);
    if row.try_get::<i64, _>(0).map_err(doing(what))? == fence {
        Ok(())
    } else {
        Err(StoreError::Fenced { event, ours: fence })
    }
}
