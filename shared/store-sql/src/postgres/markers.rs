//! Markers in PostgreSQL.

use gam_model::Month;
use gam_store::{AdvanceOutcome, Epoch, FoldScope, Marker};
use sqlx::postgres::PgPool;

use super::{from_sql, invalid, to_sql};

const MARKER: &str = "SELECT month, generation, floor FROM github_metrics.markers WHERE org = $1 AND epoch = $2 AND month = $3";

const MARKERS: &str = "SELECT month, generation, floor FROM github_metrics.markers WHERE org = $1 AND epoch = $2 ORDER BY month";

const INSERT: &str = "INSERT INTO github_metrics.markers (org, epoch, month, generation, floor)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

/// Waits for another writer of the row, and then compares with what it wrote.
const UPDATE: &str = "UPDATE github_metrics.markers SET generation = $4, floor = $5
    WHERE org = $1 AND epoch = $2 AND month = $3 AND generation = $6 AND floor = $7";

const DELETE: &str = "DELETE FROM github_metrics.markers WHERE org = $1 AND epoch = $2 AND month = ANY($3)";

type MarkerRow = (String, i64, i64);

fn parse((month, generation, floor): MarkerRow) -> sqlx::Result<Marker> {
    let month =
        Month::parse(&month).ok_or_else(|| invalid(format!("invalid month {month:?} of a marker")))?;
    Ok(Marker { month, generation: from_sql(generation)?, floor: from_sql(floor)? })
}

/// Returns the marker of a month.
pub(super) async fn read(
    pool: &PgPool,
    org: &str,
    epoch: Epoch,
    month: Month,
) -> sqlx::Result<Option<Marker>> {
    let query = sqlx::query_as(MARKER).bind(org).bind(to_sql(epoch.0)?).bind(month.to_string());
    query.fetch_optional(pool).await?.map(parse).transpose()
}

/// Returns the markers of an epoch, ordered by month.
pub(super) async fn list(pool: &PgPool, org: &str, epoch: Epoch) -> sqlx::Result<Vec<Marker>> {
    let rows: Vec<MarkerRow> =
        sqlx::query_as(MARKERS).bind(org).bind(to_sql(epoch.0)?).fetch_all(pool).await?;
    rows.into_iter().map(parse).collect()
}

/// Moves a marker. If somebody else moves it between the read and the write, it is read again.
pub(super) async fn advance(
    pool: &PgPool,
    org: &str,
    epoch: Epoch,
    month: Month,
    generation: u64,
    scope: FoldScope,
) -> sqlx::Result<AdvanceOutcome> {
    loop {
        let stored = read(pool, org, epoch, month).await?;
        let Some(new) = Marker::advanced(stored.as_ref(), month, generation, scope) else {
            return Ok(AdvanceOutcome::Refused);
        };
        let sql = if stored.is_some() { UPDATE } else { INSERT };
        let mut write = sqlx::query(sql)
            .bind(org)
            .bind(to_sql(epoch.0)?)
            .bind(month.to_string())
            .bind(to_sql(new.generation)?)
            .bind(to_sql(new.floor)?);
        if let Some(stored) = stored {
            write = write.bind(to_sql(stored.generation)?).bind(to_sql(stored.floor)?);
        }
        if write.execute(pool).await?.rows_affected() == 1 {
            return Ok(AdvanceOutcome::Advanced);
        }
    }
}

/// Deletes the markers of months.
pub(super) async fn delete(pool: &PgPool, org: &str, epoch: Epoch, months: &[Month]) -> sqlx::Result<()> {
    let months: Vec<String> = months.iter().map(Month::to_string).collect();
    sqlx::query(DELETE).bind(org).bind(to_sql(epoch.0)?).bind(months).execute(pool).await.map(drop)
}
