//! Ends an ingestion at a step as a crash would: everything that it holds is dropped, nothing more is sent.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use contract::Step;
use contract::feed::{Line, Record};
use ingest::probe::Probe;
use ingest::settings::Settings;

use crate::common::{Db, World};

/// Ingests until this occurrence of this step and dies there. `None`: the step was not reached that often.
pub async fn kill_at(world: &World, db: &Db, settings: &Settings, at: (Step, u32)) -> Option<Vec<Line>> {
    let (reached, mut was_reached) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, aborted) = channel::<()>();
    let aborted = std::sync::Mutex::new(aborted);
    let probe = Probe::recording(move |step, occurrence| {
        if (step, occurrence) == at {
            reached.send(()).unwrap();
            tokio::task::block_in_place(|| aborted.lock().unwrap().recv()).unwrap();
            // Unwinds from the very step, without the message of a panic.
            std::panic::resume_unwind(Box::new("killed"));
        }
    });
    let source = world.source();
    let probe = Arc::new(probe);
    let run = ingest::pipeline::Run::new(world.event, db.store(settings), source, settings.clone(), Arc::clone(&probe));
    let mut task = tokio::spawn(run.execute());
    let killed = tokio::select! {
        _ = &mut task => false,
        Some(()) = was_reached.recv() => true,
    };
    if !killed {
        return None;
    }
    task.abort();
    go_on.send(()).unwrap();
    let _ = task.await;
    let lines = probe.lines();
    // The sockets are closed; the server takes a moment to see it.
    while db.text("SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'ingest'").await != "0" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Some(lines)
}

/// The races that a feed says were committed.
pub fn committed(lines: &[Line]) -> Vec<u64> {
    let races = lines.iter().filter_map(|l| match &l.record {
        Record::Committed(c) => Some(c.races.clone()),
        _ => None,
    });
    races.flatten().collect()
}
