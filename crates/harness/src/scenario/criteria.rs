//! `[criteria]`, both ways between the file and the model.

use std::collections::BTreeMap;

use toml::Spanned;

use super::file;
use super::model::Known;
use crate::ab::Criteria;
use crate::ab::criteria::{bound_text, parse_bound};
use crate::nearest::UnknownName;
use crate::quantity::{Bytes, Span};
use crate::stats::{Metric, Unit};

/// A mistake and where it is.
pub(super) type Mistake = (std::ops::Range<usize>, String);

/// Reads the table.
///
/// # Errors
/// The first mistake.
pub(super) fn read(table: Spanned<file::Criteria>, known: Known<'_>) -> Result<Criteria, Mistake> {
    let span = table.span();
    let file::Criteria { against, change, limit, error_rate } = table.into_inner();
    let Some(against) = against else {
        return Err((span, "say what they are measured against: against = \"before\"".to_owned()));
    };
    if !known.profiles.contains(&against.get_ref().as_str()) {
        let message = UnknownName::new("profile", against.get_ref(), known.profiles).to_string();
        return Err((against.span(), message));
    }
    if change.is_empty() && limit.is_empty() && error_rate.is_none() {
        return Err((span, "there is no criterion here: give change, limit or error_rate".to_owned()));
    }
    let mut criteria =
        Criteria { against: against.into_inner(), change: BTreeMap::new(), limit: BTreeMap::new(), error_rate: None };
    for (name, text) in change {
        let metric = metric(&name)?;
        let bound = parse_bound(metric, text.get_ref()).ok_or_else(|| {
            let message =
                format!("`{}` is no change; write it with sign and per cent: \"-50%\", \"+10%\"", text.get_ref());
            (text.span(), message)
        })?;
        criteria.change.insert(metric, bound);
    }
    for (name, value) in limit {
        let metric = metric(&name)?;
        let text = &value.get_ref().0;
        let parsed = match metric.unit() {
            Unit::Bytes => text.parse::<Bytes>().map(|b| b.0 as f64).map_err(|e| e.to_string()),
            Unit::Microseconds => text.parse::<Span>().map(|s| s.0.as_secs_f64() * 1e6).map_err(|e| e.to_string()),
            Unit::Count | Unit::PerSecond | Unit::Share => text
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite() && *n >= 0.0)
                .ok_or_else(|| format!("`{text}` is no number at or above 0")),
        };
        criteria.limit.insert(metric, parsed.map_err(|why| (value.span(), why))?);
    }
    if let Some(text) = error_rate {
        let share = text.get_ref().trim().strip_suffix('%').and_then(|n| n.trim().parse::<f64>().ok());
        let share = share.filter(|s| *s > 0.0 && *s <= 100.0).ok_or_else(|| {
            let message = format!("`{}` is no rise of the error rate; write it in points: \"1%\"", text.get_ref());
            (text.span(), message)
        })?;
        criteria.error_rate = Some(share / 100.0);
    }
    Ok(criteria)
}

fn metric(name: &Spanned<String>) -> Result<Metric, Mistake> {
    let found = Metric::ALL.iter().copied().find(|m| m.key() == name.get_ref());
    found.ok_or_else(|| {
        let keys: Vec<&str> = Metric::ALL.iter().map(|m| m.key()).collect();
        (name.span(), UnknownName::new("metric", name.get_ref(), &keys).to_string())
    })
}

/// Writes the table so that it reads back equal.
pub(super) fn write(criteria: &Criteria) -> Spanned<file::Criteria> {
    fn at<T>(value: T) -> Spanned<T> {
        Spanned::new(0..0, value)
    }
    let limit = |(m, v): (&Metric, &f64)| {
        let text = match m.unit() {
            Unit::Bytes => Bytes(v.round() as u64).to_string(),
            Unit::Microseconds => Span(std::time::Duration::from_nanos((v * 1e3).round() as u64)).to_string(),
            Unit::Count | Unit::PerSecond | Unit::Share => v.to_string(),
        };
        (at(m.key().to_owned()), at(file::Value(text)))
    };
    at(file::Criteria {
        against: Some(at(criteria.against.clone())),
        change: criteria.change.iter().map(|(m, b)| (at(m.key().to_owned()), at(bound_text(*b)))).collect(),
        limit: criteria.limit.iter().map(limit).collect(),
        error_rate: criteria.error_rate.map(|share| at(format!("{}%", (share * 1e8).round() / 1e6))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::parse;
    use crate::stats::{Bound, Metric};

    const EVENT: &str = "[event]\nsize = \"small\"\n";

    #[test]
    fn criteria_read_and_their_resolved_text_reads_back_equal() {
        let text = "[criteria]\nagainst = \"before\"\nerror_rate = \"1%\"\n\
            change = { event_us = \"-50%\", statements = \"-30%\", laps_per_s = \"+100%\" }\n\
            limit = { engine_peak_rss_bytes = \"150MB\", engine_cpu_us = \"1.5s\", pool_peak = 21 }\n";
        let scenario = parse(&format!("{EVENT}{text}")).unwrap();
        let criteria = scenario.criteria.clone().unwrap();
        assert_eq!(criteria.change[&Metric::EventTime], Bound::AtMost(-0.5));
        assert_eq!(criteria.change[&Metric::LapRate], Bound::AtLeast(1.0));
        assert_eq!(criteria.limit[&Metric::EnginePeakRss], 150e6);
        assert_eq!(criteria.limit[&Metric::EngineCpu], 1.5e6);
        assert_eq!((criteria.limit[&Metric::PoolPeak], criteria.error_rate), (21.0, Some(0.01)));
        assert_eq!(parse(&scenario.resolved()).unwrap(), scenario, "{}", scenario.resolved());
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, part) in [
            ("change = { event_us = \"-50%\" }", "against"),
            ("against = \"befor\"", "before"),
            ("against = \"before\"", "no criterion"),
            ("against = \"before\"\nchange = { event_su = \"-50%\" }", "event_us"),
            ("against = \"before\"\nchange = { event_us = \"50%\" }", "-50%"),
            ("against = \"before\"\nlimit = { engine_peak_rss_bytes = \"much\" }", "150MB"),
            ("against = \"before\"\nerror_rate = \"none\"", "points"),
        ] {
            let error = parse(&format!("{EVENT}[criteria]\n{text}\n")).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("test.toml:"), "{error}");
        }
    }
}
