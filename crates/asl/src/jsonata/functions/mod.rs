//! The functions of JSONata and those that Step Functions adds.

pub(super) mod date;
mod date_picture;
mod higher;
mod integer;
mod list;
pub(super) mod number;
mod number_picture;
mod object;
pub(super) mod regex;
mod states;
pub(super) mod text;

use super::Fault;
use super::env::Run;
use super::signature::Signature;
use super::value::Val;
use std::sync::LazyLock;

/// A function of the table below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Builtin(usize);

type Body = fn(&Run<'_>, Vec<Val>) -> Result<Val, Fault>;

/// Name, signature as JSONata publishes it, body.
const TABLE: &[(&str, &str, Body)] = &[
    // Strings.
    ("string", "<x-b?:s>", text::string),
    ("length", "<s-:n>", text::length),
    ("substring", "<s-nn?:s>", text::substring),
    ("substringBefore", "<s-s:s>", text::substring_before),
    ("substringAfter", "<s-s:s>", text::substring_after),
    ("uppercase", "<s-:s>", text::uppercase),
    ("lowercase", "<s-:s>", text::lowercase),
    ("trim", "<s-:s>", text::trim),
    ("pad", "<s-ns?:s>", text::pad),
    ("join", "<a<s>s?:s>", text::join),
    ("contains", "<s-(sf):b>", regex::contains),
    ("match", "<s-fn?:a<o>>", regex::matches),
    ("split", "<s-(sf)n?:a<s>>", regex::split),
    ("replace", "<s-(sf)(sf)n?:s>", regex::replace),
    ("base64encode", "<s-:s>", text::base64_encode),
    ("base64decode", "<s-:s>", text::base64_decode),
    ("encodeUrlComponent", "<s-:s>", text::encode_url_component),
    ("encodeUrl", "<s-:s>", text::encode_url),
    ("decodeUrlComponent", "<s-:s>", text::decode_url),
    ("decodeUrl", "<s-:s>", text::decode_url),
    // Numbers.
    ("number", "<(nsb)-:n>", number::number),
    ("abs", "<n-:n>", number::abs),
    ("floor", "<n-:n>", number::floor),
    ("ceil", "<n-:n>", number::ceil),
    ("round", "<n-n?:n>", number::round),
    ("power", "<n-n:n>", number::power),
    ("sqrt", "<n-:n>", number::sqrt),
    ("formatBase", "<n-n?:s>", number::format_base),
    ("formatNumber", "<n-so?:s>", number_picture::format_number),
    ("formatInteger", "<n-s:s>", integer::format_integer),
    ("parseInteger", "<s-s:n>", integer::parse_integer),
    // Aggregation.
    ("sum", "<a<n>:n>", list::sum),
    ("max", "<a<n>:n>", list::max),
    ("min", "<a<n>:n>", list::min),
    ("average", "<a<n>:n>", list::average),
    ("count", "<a:n>", list::count),
    // Booleans.
    ("boolean", "<x-:b>", list::boolean),
    ("not", "<x-:b>", list::not),
    ("exists", "<x:b>", list::exists),
    // Arrays.
    ("append", "<xx:a>", list::append),
    ("reverse", "<a:a>", list::reverse),
    ("shuffle", "<a:a>", list::shuffle),
    ("distinct", "<x:x>", list::distinct),
    ("zip", "<a+>", list::zip),
    ("sort", "<af?:a>", higher::sort),
    // Objects.
    ("keys", "<x-:a<s>>", object::keys),
    ("lookup", "<x-s:x>", object::lookup),
    ("spread", "<x-:a<o>>", object::spread),
    ("merge", "<a<o>:o>", object::merge),
    ("type", "<x:s>", object::type_of),
    ("error", "<s?:x>", object::error),
    ("assert", "<bs?:x>", object::assert),
    // Higher order.
    ("map", "<af>", higher::map),
    ("filter", "<af>", higher::filter),
    ("single", "<af?>", higher::single),
    ("reduce", "<afj?:j>", higher::reduce),
    ("sift", "<o-f?:o>", higher::sift),
    ("each", "<o-f:a>", higher::each),
    // Date and time.
    ("now", "<s?s?:s>", date::now),
    ("millis", "<:n>", date::millis),
    ("fromMillis", "<n-s?s?:s>", date::from_millis),
    ("toMillis", "<s-s?:n>", date::to_millis),
    // Step Functions' own.
    ("partition", "<an:a>", states::partition),
    ("range", "<nnn:a>", states::range),
    ("hash", "<ss:s>", states::hash),
    ("random", "<n?:n>", states::random),
    ("uuid", "<:s>", states::uuid),
    ("parse", "<s-:x>", states::parse),
];

static SIGNATURES: LazyLock<Vec<Option<Signature>>> =
    LazyLock::new(|| TABLE.iter().map(|(_, signature, _)| Signature::parse(signature).ok()).collect());

pub(super) fn find(name: &str) -> Option<Builtin> {
    TABLE.iter().position(|(known, _, _)| *known == name).map(Builtin)
}

pub(super) fn call(run: &Run<'_>, builtin: Builtin, args: Vec<Val>, input: &Val) -> Result<Val, Fault> {
    let (name, _, body) = TABLE[builtin.0];
    let args = match SIGNATURES.get(builtin.0).and_then(Option::as_ref) {
        Some(signature) => signature.apply(name, args, input)?,
        None => args,
    };
    body(run, args)
}

/// How many arguments a callback gets at most.
pub(super) fn arity(builtin: Builtin) -> usize {
    SIGNATURES.get(builtin.0).and_then(Option::as_ref).map_or(1, |s| s.required().max(1))
}

/// The argument at `at`; undefined if it is not there.
fn arg(args: &[Val], at: usize) -> &Val {
    args.get(at).unwrap_or(&Val::Undefined)
}
