//! Whether what stands beside the route can run: every fault, at its place, before anything runs.

use super::machines::{self, WorkflowFile};
use bourn_config::{Faults, Loaded};
use bourn_integrations::{Names, Unrunnable};
use bourn_schedule::{Home, Triggers, When};

/// Checks functions, schedules, triggers and workflows; gives the workflows.
pub fn check(loaded: &Loaded) -> Result<Vec<WorkflowFile>, Faults> {
    let mut faults = Faults::default();
    functions(loaded, &mut faults);
    schedules(loaded, &mut faults);
    triggers(loaded, &mut faults);
    let files = match machines::read(loaded) {
        Ok(files) => files,
        Err(wrong) => {
            faults.extend(wrong.0);
            Vec::new()
        }
    };
    let tasks = Unrunnable(Names::of(&loaded.pipeline));
    faults.extend(machines::check_uses(&files, &tasks).0);
    targets(loaded, &files, &mut faults);
    if faults.is_empty() { Ok(files) } else { Err(faults) }
}

fn functions(loaded: &Loaded, faults: &mut Faults) {
    for (name, function) in &loaded.pipeline.functions {
        for (key, message, hint) in
            bourn_functions::check(&loaded.dir, name, function).err().into_iter().flatten()
        {
            let at = match key.is_empty() {
                true => format!("/functions/{name}"),
                false => format!("/functions/{name}/{}", key.replace('.', "/")),
            };
            faults.push(loaded.places.fault_at(&at, message, hint));
        }
    }
}

fn schedules(loaded: &Loaded, faults: &mut Faults) {
    for (name, schedule) in &loaded.pipeline.schedules {
        for fault in When::compile(schedule).err().into_iter().flatten() {
            let at = format!("/schedules/{name}/{}", fault.key);
            faults.push(loaded.places.fault_at(&at, fault.message, None));
        }
    }
}

fn triggers(loaded: &Loaded, faults: &mut Faults) {
    let aws = &loaded.pipeline.aws;
    let home = Home { account: aws.account.clone(), region: aws.region.clone() };
    for fault in Triggers::compile(&loaded.pipeline.triggers, home).err().into_iter().flatten() {
        let at = format!("/triggers/{}/{}{}", fault.trigger, fault.key, fault.pointer);
        faults.push(loaded.places.fault_at(&at, fault.message, None));
    }
}

/// Workflows that schedules and triggers name and that there are none of.
fn targets(loaded: &Loaded, files: &[WorkflowFile], faults: &mut Faults) {
    let pipeline = &loaded.pipeline;
    let schedules =
        pipeline.schedules.iter().map(|(name, schedule)| (format!("/schedules/{name}"), &schedule.run));
    let triggers =
        pipeline.triggers.iter().map(|(name, trigger)| (format!("/triggers/{name}"), &trigger.run));
    for (at, target) in schedules.chain(triggers) {
        let bourn_config::Target::Workflow(workflow) = target else { continue };
        if files.iter().all(|file| file.name != *workflow) {
            let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
            let message = format!("there is no workflow `{workflow}`; there are: {}", names.join(", "));
            let hint = format!("put its definition into workflows/{workflow}.asl.json");
            faults.push(loaded.places.fault_at(&format!("{at}/run/workflow"), message, Some(hint)));
        }
    }
}
