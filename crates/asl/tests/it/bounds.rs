//! What an expression may not do: run, nest or grow without end; and that whatever it did is dropped on a small stack.

use crate::support::with_scope;
use bourn_asl::Jsonata;
use serde_json::{Value, json};

/// The stack of a thread that tokio or the standard library makes.
const STACK_BYTES: usize = 2 << 20;

fn on_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(f).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The value, or the cause; also that a second run of the same thread is none the wiser.
fn outcome(text: &str) -> Result<Value, String> {
    let run = |text: &str| {
        let jsonata = Jsonata::parse(text)?;
        with_scope(&json!({"n": 1}), |scope| jsonata.eval("Output", scope).map_err(|fault| fault.cause))
    };
    let result = run(text);
    assert_eq!(run("$states.input.n + 1"), Ok(json!(2)), "after {text}");
    result
}

/// Calls `step` twenty thousand times, each time with what it gave before.
fn again(start: &str, step: &str) -> String {
    format!("($f := function($x, $n){{$n = 0 ? $x : $f({step}, $n - 1)}}; $f({start}, 20000))")
}

#[track_caller]
fn check_fails(cases: &[(&str, &str)]) {
    let cases: Vec<(String, String)> = cases.iter().map(|(t, c)| ((*t).into(), (*c).into())).collect();
    on_small_stack(move || {
        for (text, code) in cases {
            let why = outcome(&text).expect_err(&text);
            assert!(why.contains(&format!(" {code}: ")), "{text}: {why}");
        }
    });
}

#[test]
fn ends_what_would_run_without_end() {
    check_fails(&[
        ("($f := function(){$f()}; $f())", "D1012"),
        ("($x := [1..1000]; $x.($x.($x.($x))))", "D1012"),
        ("($t := $pad('x', 9000000); [1..1000000].$uppercase($t))", "D1012"),
        ("($t := $pad('x', 1000000); [1..1000000][$t & 'y' = $t & 'y'])", "D1012"),
        ("[1..100000000]", "D2014"),
        ("$pad('x', 100000000)", "D1013"),
        ("($f := function($s, $n){$n = 0 ? $s : $f($s & $s, $n - 1)}; $f('abcdefgh', 60))", "D1013"),
    ]);
}

#[test]
fn ends_what_would_nest_without_end() {
    check_fails(&[
        ("($f := function($n){1 + $f($n)}; $f(1))", "D1011"),
        (&again("1", "[[$x]]"), "D1013"),
        (&again("1", "{'a': $x}"), "D1013"),
        (&again("[1]", "$append([[$x]], 1)"), "D1013"),
        (&again("{}", "$merge([{'a': $x}])"), "D1013"),
        (&again("{}", "$spread({'a': $x})"), "D1013"),
        (&again("[1]", "$zip([$x], [$x])"), "D1013"),
        (&again("[1]", "$map([1], function(){[$x]})[]"), "D1013"),
        (&again("[1]", "$partition([$x, 1], 1)"), "D1013"),
        (&again("[1]", "$each({'a': 1}, function(){[$x]})[]"), "D1013"),
        (&again("{'a': 1}", "{'a': 1} ~> |$|{'b': $x}|"), "D1013"),
        (&again("{'a': 1}", "[{'k': 'a', 'v': $x}]{k: v}"), "D1013"),
        ("$reduce([1..20000], function($x, $y){[[$x], $y]})", "D1013"),
        ("$reduce([1..20000], function($x, $y){{'a': $x}})", "D1013"),
        ("$parse($pad('', 100000, '['))", "D3137"),
    ]);
}

/// Each level holds the one below twice: few values, but 2 to the power of `levels` to whoever walks them.
fn doubled(levels: usize, walk: &str) -> String {
    format!(
        "($f := function($x, $n){{$n = 0 ? $x : $f([[$x], [$x]], $n - 1)}}; $x := $f([1], {levels}); {walk})"
    )
}

#[test]
fn ends_what_is_large_only_when_walked() {
    check_fails(&[
        (&doubled(60, "1"), "D1013"),
        (&doubled(21, "$x"), "D1013"),
        (&doubled(16, "[1..1000][$x = $x]"), "D1012"),
        (&doubled(16, "[1..1000].$count($x.**)"), "D1012"),
        ("($t := $pad('x', 1000000); [1..20].[$t])", "D1013"),
    ]);
}

#[test]
fn drops_chains_of_functions_on_a_small_stack() {
    check_fails(&[
        (&again("$sum", "function($y){$x($y)}"), "T1006"),
        (&again("$power", "$power(?, $x)"), "T1006"),
        (&again("$sum", "$x ~> $sum"), "T1006"),
        (&again("$sum", "[$x] ~> |$|{}| ? $x : $x"), "T1006"),
        (&again("$sum", "{'a': $x}.a.(function(){%})"), "T1006"),
        (&again("$sum", "$x.(function(){$})"), "T1006"),
        (&format!("{}(1)", again("$sum", "$x ~> $sum")), "D1011"),
    ]);
}

#[test]
fn walks_the_deepest_value_wherever_the_stack_stands() {
    on_small_stack(|| {
        let text = "($d := function($x, $n){$n = 0 ? $x : $d([[$x]], $n - 1)}; $deep := $d(1, 100); \
                    $f := function($n){$n = 0 ? 0 : 1 + $f($n - 1) + \
                      ($length($string($deep)) + $count($deep.**) > 0 and $deep = $deep ? 0 : 1)}; $f(150))";
        assert_eq!(outcome(text), Ok(json!(150)));
    });
}

#[test]
fn parses_and_drops_the_tallest_tree_on_a_small_stack() {
    on_small_stack(|| {
        let chains = (0..12).fold("1".to_owned(), |inner, _| format!("({inner}{})", "+1".repeat(300)));
        for (text, fits) in [
            ("(".repeat(100_000), false),
            ("-".repeat(100_000), false),
            ("[".repeat(100_000), false),
            ("function($x){".repeat(1_000), false),
            (format!("{}1{}", "[".repeat(99), "]".repeat(99)), true),
            (format!("{}1{}", "function(){".repeat(99), "}".repeat(99)), true),
            (format!("{}1", "1?".repeat(98)), true),
            (format!("1{}", "+1".repeat(50_000)), false),
            (format!("1{}", "+1".repeat(390)), true),
            (chains, false),
            (format!("[{}1]", "1+1,".repeat(50_000)), true),
            (format!("a{}", ".a".repeat(50_000)), false),
            (format!("a{}", ".a".repeat(900)), true),
            (format!("a{}", "{'a':1}.b".repeat(20_000)), false),
        ] {
            assert_eq!(Jsonata::parse(&text).is_ok(), fits, "{}", &text[..40.min(text.len())]);
        }
    });
}

#[test]
fn evaluates_the_longest_paths_on_a_small_stack() {
    on_small_stack(|| {
        assert_eq!(outcome(&format!("{{'a': 1}}.({}$b)", "a@$b.".repeat(900))), Ok(json!(1)));
        // Each step is a parent for `%`.
        let nested = (0..30).fold("%".to_owned(), |inner, _| format!("(1).{}({inner})", "($).".repeat(900)));
        assert_eq!(outcome(&nested), Ok(json!(1)));
    });
}
