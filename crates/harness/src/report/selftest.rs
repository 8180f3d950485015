//! The harness's test of itself in words: for the terminal and for a pull request.

use std::fmt::Write as _;

use crate::oracle::OracleName;
use crate::selftest::{Row, SelfTest, Sort};

/// A table: head, and rows of as many cells.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Names, the ones that had to notice first.
fn noticed(row: &Row) -> String {
    let others = row.violated.iter().filter(|o| !row.expected.contains(o));
    let all: Vec<&str> =
        row.expected.iter().filter(|o| row.violated.contains(o)).chain(others).map(|o| o.name()).collect();
    if all.is_empty() { "–".to_owned() } else { all.join(", ") }
}

fn result(row: &Row, good: &str) -> String {
    row.failure.as_ref().map_or_else(|| good.to_owned(), |why| format!("FAILED: {why}"))
}

/// The tables of a self-test: bug × oracle × scenario, the right engine, the controls, the oracles.
pub(super) fn tables(test: &SelfTest) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut table = |title, head: &[&'static str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            tables.push(Table { title, head: head.to_vec(), rows });
        }
    };
    let cells = |row: &Row, good: &str| vec![row.name.clone(), row.scenario.clone(), noticed(row), result(row, good)];
    let bugs = test.of(Sort::Bug).map(|row| cells(row, "caught")).collect();
    table("Bugs", &["bug", "scenario", "oracles that noticed", "result"], bugs);
    let right = |row: &Row| vec![row.scenario.clone(), row.description.clone(), result(row, "held")];
    table("Without a bug", &["scenario", "what happens", "result"], test.of(Sort::Right).map(right).collect());
    let control = |row: &Row| cells(row, &row.verdict.to_string());
    table(
        "Controls",
        &["control", "scenario", "oracles violated", "result"],
        test.of(Sort::Control).map(control).collect(),
    );
    if !test.part {
        let oracle = |oracle: &OracleName| {
            let n = test.caught.get(oracle).copied().unwrap_or(0);
            vec![oracle.name().to_owned(), n.to_string()]
        };
        table("Oracles", &["oracle", "bugs that it noticed"], test.caught.keys().map(oracle).collect());
    }
    tables
}

/// For the terminal: columns of equal width.
pub(super) fn text(test: &SelfTest) -> String {
    let mut out = String::new();
    for table in tables(test) {
        let width = |column: usize| {
            let cells = table.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain(table.head.get(column).map(|head| head.len())).max().unwrap_or(0)
        };
        let head = table.head.iter().map(|&head| head.to_owned()).collect();
        for row in std::iter::once(&head).chain(&table.rows) {
            let cells = row.iter().enumerate().map(|(i, cell)| format!("{cell:<width$}", width = width(i)));
            let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        out.push('\n');
    }
    for failure in &test.failures {
        let _ = writeln!(out, "! {failure}");
    }
    if !test.failures.is_empty() {
        out.push('\n');
    }
    out
}

/// For a pull request.
pub(super) fn markdown(test: &SelfTest, escape: fn(&str) -> String) -> String {
    let mut out = String::new();
    for failure in &test.failures {
        let _ = writeln!(out, "- {}", escape(failure));
    }
    for table in tables(test) {
        let _ = writeln!(
            out,
            "\n**{}**\n\n| {} |\n|{}",
            table.title,
            table.head.join(" | "),
            "---|".repeat(table.head.len())
        );
        for row in &table.rows {
            let _ = writeln!(out, "| {} |", row.iter().map(|cell| escape(cell)).collect::<Vec<_>>().join(" | "));
        }
    }
    out.push('\n');
    out
}
