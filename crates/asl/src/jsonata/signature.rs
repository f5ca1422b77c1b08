//! Signatures of functions: `<s-nn?:s>`. They check arguments, wrap single values where a list is due, and take the
//! context where an argument is missing.

use super::Fault;
use super::value::Val;

/// Most parameters, and the deepest nesting, of a signature.
const PARAMS_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Signature {
    params: Vec<Param>,
}

#[derive(Debug, Clone, PartialEq)]
struct Param {
    /// Letters of the types that fit: `s n b l a o f j x`.
    types: String,
    /// What items of a list must be: `a<s>`.
    items: Option<char>,
    /// `?`
    optional: bool,
    /// `-`: the context takes its place.
    context: bool,
    /// `+`
    more: bool,
}

impl Signature {
    pub fn parse(text: &str) -> Result<Signature, &'static str> {
        let inner =
            text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).ok_or("A signature is written <…>")?;
        let mut params: Vec<Param> = Vec::new();
        let mut chars = inner.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                ':' => break,
                's' | 'n' | 'b' | 'l' | 'o' | 'a' | 'f' | 'j' | 'x' | 'u' => params.push(Param {
                    types: if c == 'u' { "bnsl".to_owned() } else { c.to_string() },
                    items: None,
                    optional: false,
                    context: false,
                    more: false,
                }),
                '(' => {
                    let mut types = String::new();
                    loop {
                        match chars.next() {
                            Some(')') => break,
                            Some('<') => {
                                return Err("Choice groups containing parameterized types are not supported");
                            }
                            Some(t) => types.push(t),
                            None => return Err("A choice group is not closed"),
                        }
                    }
                    params.push(Param { types, items: None, optional: false, context: false, more: false });
                }
                '<' => {
                    let (mut depth, mut first) = (1usize, None);
                    while depth > 0 {
                        match chars.next() {
                            Some('<') => depth += 1,
                            Some('>') => depth -= 1,
                            Some(t) if first.is_none() => first = Some(t),
                            Some(_) => {}
                            None => return Err("A parameterized type is not closed"),
                        }
                    }
                    match params.last_mut() {
                        Some(param) if param.types == "a" => param.items = first,
                        Some(param) if param.types == "f" => {}
                        _ => return Err("Type parameters can only be applied to functions and arrays"),
                    }
                }
                '?' | '-' | '+' => {
                    let param = params.last_mut().ok_or("An option has no parameter before it")?;
                    match c {
                        '?' => param.optional = true,
                        '+' => param.more = true,
                        _ => param.context = true,
                    }
                }
                ' ' => {}
                _ => return Err("Unknown type in a signature"),
            }
            if params.len() > PARAMS_MAX {
                return Err("A signature has too many parameters");
            }
        }
        Ok(Signature { params })
    }

    /// Parameters that must be given, by an argument or the context.
    pub fn required(&self) -> usize {
        self.params.iter().filter(|p| !p.optional).count()
    }

    /// The arguments as the function takes them.
    pub fn apply(&self, name: &str, args: Vec<Val>, context: &Val) -> Result<Vec<Val>, Fault> {
        let wrong = |at: usize| {
            Fault::new(
                "T0410",
                format!("Argument {} of function \"{name}\" does not match function signature", at + 1),
            )
        };
        let required = self.params.iter().filter(|p| !p.optional && !p.context).count();
        let mut given = args.into_iter().peekable();
        let mut taken = 0usize;
        let total = given.len();
        let mut out = Vec::with_capacity(self.params.len());
        // The context fills in where the parameters that must be given use up what was given.
        let mut spare = total.saturating_sub(required);
        for param in &self.params {
            let fits = given.peek().is_some_and(|arg| param.fits(arg));
            if param.context && (!fits || spare == 0) {
                if !param.fits(context) {
                    return Err(Fault::new(
                        "T0411",
                        format!(
                            "Context value is not a compatible type with argument {} of function \"{name}\"",
                            taken + 1
                        ),
                    ));
                }
                out.push(context.clone());
                continue;
            }
            if param.context {
                spare -= 1;
            }
            if !fits {
                match given.peek() {
                    Some(_) if !param.optional => return Err(wrong(taken)),
                    Some(_) => out.push(Val::Undefined),
                    None if param.optional => {}
                    None => return Err(wrong(taken)),
                }
                continue;
            }
            loop {
                let Some(arg) = given.next_if(|arg| param.fits(arg)) else { break };
                taken += 1;
                out.push(param.adapt(name, taken, arg)?);
                if !param.more {
                    break;
                }
            }
        }
        if given.next().is_some() {
            return Err(wrong(taken));
        }
        Ok(out)
    }
}

impl Param {
    fn fits(&self, arg: &Val) -> bool {
        let letter = letter(arg);
        // What is missing fits everywhere; a single value fits where a list is due.
        letter == 'm'
            || self.types.chars().any(|t| match t {
                'x' => true,
                'j' => letter != 'f',
                'a' => letter != 'f' || self.types.len() == 1,
                t => t == letter,
            })
    }

    fn adapt(&self, name: &str, at: usize, arg: Val) -> Result<Val, Fault> {
        if self.types != "a" || arg.is_undefined() {
            return Ok(arg);
        }
        if let Some(item) = self.items {
            let fits = arg.as_list().iter().all(|v| item == 'x' || item == 'j' || letter(v) == item);
            if !fits {
                let kind = match item {
                    's' => "strings",
                    'n' => "numbers",
                    'b' => "booleans",
                    'o' => "objects",
                    'a' => "arrays",
                    _ => "functions",
                };
                return Err(Fault::new(
                    "T0412",
                    format!("Argument {at} of function \"{name}\" must be an array of {kind}"),
                ));
            }
        }
        Ok(match arg {
            Val::Array(_) => arg,
            one => Val::list(vec![one]),
        })
    }
}

fn letter(value: &Val) -> char {
    match value {
        Val::Undefined => 'm',
        Val::Null => 'l',
        Val::Bool(_) => 'b',
        Val::Num(_) => 'n',
        Val::Str(_) => 's',
        Val::Array(_) => 'a',
        Val::Object(_) => 'o',
        Val::Func(_) => 'f',
    }
}
