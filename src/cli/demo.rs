//! `bourn demo`.

use super::{Context, Outcome, Stop, runtime};
use crate::client::Client;
use crate::definition::Definition;
use crate::pipeline::Pipeline;
use crate::send::{Source, send};
use crate::serve::{Listen, Server};
use crate::{report, signals, sql, templates};
use clap::{Args, ValueHint};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is asked of each template's table.
const QUESTIONS: [(&str, [&str; 3]); 2] = [
    (
        "flights",
        [
            "select carrier, count(*) as flights, round(avg(dep_delay), 1) as avg_delay_min from silver.flights \
             group by carrier order by flights desc limit 5",
            "select origin, count(*) as departures, count(*) filter (where dep_time is null) as cancelled \
             from silver.flights group by origin order by departures desc",
            "select stream, received, stored, duplicate, rejected, filtered, late, in_flight from system.streams",
        ],
    ),
    (
        "shop",
        [
            "select count(*) as purchases, round(sum(amount), 2) as revenue from silver.purchases",
            "select customer_id, count(*) as purchases, round(sum(amount), 2) as revenue from silver.purchases \
             group by customer_id order by revenue desc limit 5",
            "select stream, received, stored, duplicate, rejected, filtered, late, in_flight from system.streams",
        ],
    ),
];

#[derive(Args)]
#[command(after_help = "Examples:
  bourn demo
  bourn demo --once
  bourn demo --template shop --folder my-shop")]
pub struct Demo {
    /// The template.
    #[arg(long, default_value = "flights")]
    template: String,
    /// Keep the pipeline in this folder; bourn-demo-TEMPLATE if absent.
    #[arg(long, value_hint = ValueHint::DirPath)]
    folder: Option<PathBuf>,
    /// HTTP address.
    #[arg(long, default_value = "127.0.0.1:8686", value_name = "HOST:PORT")]
    listen: String,
    /// Postgres wire address.
    #[arg(long, default_value = "127.0.0.1:5433", value_name = "HOST:PORT")]
    pg_listen: String,
    /// Exit instead of going on to serve.
    #[arg(long)]
    once: bool,
}

impl Demo {
    pub fn run(self, context: &Context) -> Outcome {
        runtime()?.block_on(self.show(context))
    }

    async fn show(self, context: &Context) -> Outcome {
        let template = templates::find(&self.template)?;
        let folder = self.folder.clone().unwrap_or_else(|| format!("bourn-demo-{}", self.template).into());
        let dir = context.dir.join(folder);
        let is_new = !dir.join("bourn.yaml").exists();
        if is_new {
            template.write(&dir)?;
            println!("made {} from the {} template: {}", dir.display(), template.name, template.about);
        }
        let pipeline = open(&dir).await?;
        let signals = signals::watch();
        let listen = Listen { http: Some(self.listen.clone()), pg: Some(self.pg_listen.clone()) };
        let server = Server::start(&pipeline, listen, &signals.drain).await?;
        fill(&server, template).await?;
        pipeline.settle().await?;
        println!("\n{}", report::ledgers_text(&pipeline.ledgers()));
        ask(&pipeline, &self.template).await?;
        if !self.once {
            self.say_where(&server, &dir);
            println!("ready http={} pg={}", server.addresses.http, server.addresses.pg());
            signals.drain.cancelled().await;
        }
        server.stop().await?;
        Ok(pipeline.close().await?)
    }

    fn say_where(&self, server: &Server, dir: &Path) {
        let stream = templates::find(&self.template).map_or("flights", |template| template.stream);
        let addresses = &server.addresses;
        println!("serving until Ctrl-C:");
        println!("  curl --json '{{…}}' http://{}/v1/streams/{stream}", addresses.http);
        println!("  curl -d 'select count(*) from silver.{stream}' http://{}/v1/sql", addresses.http);
        if let Some(pg) = addresses.pg_address() {
            println!(
                "  psql -h {} -p {} -U bourn -c 'select count(*) from silver.{stream}'",
                pg.ip(),
                pg.port()
            );
        }
        if self.template == "flights" {
            let input = r#"{"day": "2013-06-01"}"#;
            println!("  bourn workflows start nightly --dir {} --input '{input}' --wait", dir.display());
        }
        println!("  bourn sql --dir {} 'select * from silver.{stream} limit 3'", dir.display());
    }
}

async fn open(dir: &Path) -> Result<Arc<Pipeline>, Stop> {
    let definition = Definition::load(dir, None).map_err(|faults| {
        eprintln!("{faults}");
        Stop::Invalid
    })?;
    Pipeline::open(definition).await
}

/// Sends the template's events over HTTP, as any client would.
async fn fill(server: &Server, template: &'static templates::Template) -> anyhow::Result<()> {
    let client = Client::to(&format!("http://{}", server.addresses.http), false)?;
    let source = Source::of(Box::new(template.events), template.events.len() as u64)?;
    let begun = std::time::Instant::now();
    // One name for ever: what an interrupted demo sent already is not stored again.
    let sent = send(&client, template.stream, source, 1000, "demo").await?;
    println!(
        "sent {} events in {:.1} s: {} accepted, {} rejected",
        sent.accepted + sent.rejected,
        begun.elapsed().as_secs_f64(),
        sent.accepted,
        sent.rejected
    );
    Ok(())
}

async fn ask(pipeline: &Arc<Pipeline>, template: &str) -> anyhow::Result<()> {
    let questions = QUESTIONS.iter().find(|(name, _)| *name == template).map(|(_, questions)| questions);
    for question in questions.into_iter().flatten() {
        println!("> {question}");
        println!("{}", sql::table(&*pipeline.engine, question).await?);
    }
    Ok(())
}
