//! Templates that would run for ever, fill the memory or the stack: each is an error, soon.

use std::time::{Duration, Instant};

use hearth_core::chat::{ChatRequest, Message, Role};
use hearth_text::{ChatTemplate, SpecialTokens};

use crate::support::Chance;
use crate::templates::NOW;

/// A debug build runs templates fifteen times as slowly.
const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 10_000 } else { 300 });

#[test]
fn templates_without_end_are_stopped() {
    let doubling = "{% set ns = namespace(s='0123456789') %}{% for i in range(20) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}";
    let nested = format!("{}x{}", "{% for a in [1] %}".repeat(400), "{% endfor %}".repeat(400));
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    let cases: [(&str, &str); 15] = [
        ("nested loops", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"),
        (
            "nested loops that write",
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        ),
        ("a range without measure", "{% for a in range(10000000000) %}{% endfor %}"),
        ("a product of text", "{{ 'x' * 10000000 }}"),
        ("a huge product of text", "{{ 'x' * 10000000000 }}"),
        ("a kept product of text", "{% set x = 'x' * 10000000000 %}"),
        ("a product of a list", "{{ ([1] * 10000000)|tojson }}"),
        ("a macro without end", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        ("a macro that branches", "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}"),
        ("two macros", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}"),
        ("a recursive loop", "{% set x = [1] %}{% for i in x recursive %}{{ loop(x) }}{% endfor %}"),
        ("text that doubles", doubling),
        ("a long message", "{{ raise_exception('x' * 10000000) }}"),
        ("many nested blocks", &nested),
        ("many parentheses", &parentheses),
    ];
    for (name, source) in cases {
        let begin = Instant::now();
        let error = render(source).expect_err(name);
        let took = begin.elapsed();
        assert!(error.message.len() < 1_100, "{name}: {}", error.message);
        assert!(took < LONGEST, "{name}: {took:?}");
    }
}

fn render(source: &str) -> hearth_core::Result<String> {
    let request = ChatRequest { messages: vec![Message::text(Role::User, "Hi")], ..ChatRequest::default() };
    ChatTemplate::new(source, &SpecialTokens::default())?.render(&request, NOW)
}

/// What makes up random templates; the engine is known to panic on some.
const SNIPPETS: [&str; 44] = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{%-",
    "-%}",
    "{#",
    "#}",
    " for x in ",
    " if ",
    " else ",
    "endfor",
    "endif",
    " set ",
    "macro ",
    "endmacro",
    " m() ",
    "x",
    "messages",
    "[::-1]",
    "[1:3:-1]",
    "[-5]",
    "''",
    "'a'",
    "[]",
    "{}",
    "(",
    ")",
    "|",
    "tojson",
    "indent=2",
    "length",
    "reverse",
    " ~ ",
    " + ",
    " * 3",
    " // 0",
    ".split('')",
    ".items()",
    ".x",
    "=",
    ",",
    "\n",
    "generation",
];

#[test]
fn random_templates_are_never_a_panic() {
    let mut chance = Chance::new(17);
    let mut rendered = 0;
    for _ in 0..4_000 {
        let inner = chance.text(&SNIPPETS, 10);
        let source = *chance.pick(&["{{ * }}", "{% * %}", "*", "{% for x in messages * %}{{ x * }}{% endfor %}"]);
        rendered += usize::from(render(&source.replace('*', &inner)).is_ok());
    }
    assert!(rendered > 100, "only {rendered} rendered");
}

#[test]
fn a_panic_of_the_engine_is_an_error() {
    let error = render("{{ ''[::-1] }}").unwrap_err();
    assert!(error.message.contains("crashed"), "{error}");
}
