//! Verbs that change a pipeline: carried out by the process that runs it, or here if none does.

use crate::cli::{Context, Stop};
use crate::client::Client;
use crate::definition::Definition;
use crate::layout::Layout;
use crate::pipeline::Pipeline;
use crate::progress;
use crate::replay::{self, ReplayRange};
use bourn_web::Admin;
use futures::StreamExt;
use indicatif::ProgressBar;
use serde_json::{Value, json};

/// Calls an admin verb and waits for its result, with a progress bar.
pub async fn call(context: &Context, verb: &str, args: Value) -> Result<Value, Stop> {
    let loaded = crate::cli::load(context)?;
    let mut bar = None;
    let running = Client::of_running(&loaded.pipeline, &Layout::of(&loaded).state)?;
    let result = match running {
        Some(client) => client.admin(verb, &args, |value| show(&mut bar, verb, value)).await?,
        None => here(context, verb, args, |value| show(&mut bar, verb, value)).await?,
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(result)
}

async fn here(
    context: &Context,
    verb: &str,
    args: Value,
    mut progress: impl FnMut(&Value),
) -> Result<Value, Stop> {
    let definition = Definition::load(&context.dir, context.environment.as_deref()).map_err(|faults| {
        eprintln!("{faults}");
        Stop::Invalid
    })?;
    if verb == "replay" {
        return replay_here(&definition, args, progress).await;
    }
    let mut args = args;
    if verb == "workflow_start" {
        // Nobody would go on with it.
        args["wait"] = json!(true);
    }
    let pipeline = Pipeline::open(definition).await?;
    let outcome = drive(&pipeline, verb, args, &mut progress).await;
    pipeline.close().await?;
    outcome
}

/// A replay needs no running pipeline, and must not need one: it is the way out when the table's
/// columns do not fit the definition any more.
async fn replay_here(
    definition: &Definition,
    args: Value,
    mut progress: impl FnMut(&Value),
) -> Result<Value, Stop> {
    let stream = args["stream"].as_str().unwrap_or_default().to_string();
    let range: ReplayRange = serde_json::from_value(args)?;
    let (lines, mut told) = tokio::sync::mpsc::unbounded_channel();
    let report = Box::new(move |done, total| {
        // Nobody listens any more once the replay has ended.
        let _ = lines.send((done, total));
    });
    let replay = replay::offline(definition, &stream, &range, report);
    tokio::pin!(replay);
    loop {
        tokio::select! {
            replayed = &mut replay => return Ok(serde_json::to_value(replayed?)?),
            Some((done, total)) = told.recv() => progress(&json!({"done": done, "total": total})),
        }
    }
}

async fn drive(
    pipeline: &std::sync::Arc<Pipeline>,
    verb: &str,
    args: Value,
    progress: &mut impl FnMut(&Value),
) -> Result<Value, Stop> {
    let mut lines = pipeline.admin().call(verb, args).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    while let Some(line) = lines.next().await {
        if let Some(result) = line.get("result") {
            return Ok(result.clone());
        }
        if let Some(error) = line.get("error") {
            return Err(anyhow::anyhow!("{}", error.as_str().unwrap_or("failed")).into());
        }
        if let Some(value) = line.get("progress") {
            progress(value);
        }
    }
    Err(anyhow::anyhow!("the verb ended without a result").into())
}

fn show(bar: &mut Option<ProgressBar>, verb: &str, value: &Value) {
    let (Some(done), Some(total)) = (value["done"].as_u64(), value["total"].as_u64()) else { return };
    let bar = bar.get_or_insert_with(|| progress::events(total, verb));
    bar.set_length(total);
    bar.set_position(done);
}
