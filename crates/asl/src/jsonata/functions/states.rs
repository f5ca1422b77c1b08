//! Functions that Step Functions adds to JSONata, in place of intrinsic functions.

use super::arg;
use crate::intrinsic::compute;
use crate::jsonata::Fault;
use crate::jsonata::env::Run;
use crate::jsonata::value::Val;

pub fn partition(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (Some(items), Some(size)) = (arg(&args, 0).items(), arg(&args, 1).as_num()) else {
        return Ok(Val::Undefined);
    };
    if size < 1.0 {
        return Err(Fault::new(
            "D3137",
            "The chunk size of the partition function must be a positive integer",
        ));
    }
    run.spend(items.len())?;
    Ok(Val::list(items.chunks(size.trunc() as usize).map(|chunk| Val::list(chunk.to_vec())).collect()))
}

pub fn range(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let [Some(from), Some(to), Some(step)] = [0, 1, 2].map(|at| arg(&args, at).as_num()) else {
        return Ok(Val::Undefined);
    };
    let list = compute::range(from.trunc() as i64, to.trunc() as i64, step.trunc() as i64)
        .map_err(|why| Fault::new("D3137", why))?;
    run.spend(list.len())?;
    Ok(Val::list(list.into_iter().map(|n| Val::Num(n as f64)).collect()))
}

pub fn hash(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (Some(text), Some(algorithm)) = (arg(&args, 0).as_str(), arg(&args, 1).as_str()) else {
        return Ok(Val::Undefined);
    };
    run.spend(text.len() / 16)?;
    compute::hash(text, algorithm).map(|h| Val::str(&h)).map_err(|why| Fault::new("D3137", why))
}

/// A seed always gives the same number.
pub fn random(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    Ok(Val::Num(match arg(&args, 0).as_num() {
        Some(seed) => compute::seeded(seed),
        None => run.scope.outside.random(),
    }))
}

pub fn uuid(run: &Run<'_>, _: Vec<Val>) -> Result<Val, Fault> {
    Ok(Val::str(&run.scope.outside.uuid()))
}

pub fn parse(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(text) = arg(&args, 0).as_str() else { return Ok(Val::Undefined) };
    run.spend(text.len() / 16)?;
    let value = serde_json::from_str(text).map_err(|_| Fault::new("D3137", "The text is not JSON"))?;
    Val::from_json(&value, run)
}
