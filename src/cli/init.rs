//! `bourn init`.

use super::{Context, Outcome};
use crate::templates;
use clap::{Args, ValueHint};
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "Examples:
  bourn init --list
  bourn init --template flights trips
  bourn init shop --template shop && cd shop && bourn run")]
pub struct Init {
    /// The new folder.
    #[arg(value_hint = ValueHint::DirPath, required_unless_present = "list")]
    folder: Option<PathBuf>,
    /// The template to start from.
    #[arg(long, default_value = "flights")]
    template: String,
    /// Also write the template's sample events into the folder, as sample.jsonl.zst.
    #[arg(long)]
    with_sample: bool,
    /// Print the templates there are.
    #[arg(long)]
    list: bool,
}

impl Init {
    pub fn run(self, context: &Context) -> Outcome {
        if self.list {
            for template in templates::TEMPLATES {
                println!("{:10} {}", template.name, template.about);
            }
            return Ok(());
        }
        let template = templates::find(&self.template)?;
        let folder = self.folder.unwrap_or_default();
        let dir = context.dir.join(&folder);
        template.write(&dir)?;
        if self.with_sample {
            std::fs::write(dir.join("sample.jsonl.zst"), template.events)?;
        }
        println!("made {} from the {} template; next:", dir.display(), template.name);
        println!("  cd {} && bourn run", dir.display());
        Ok(())
    }
}
