//! Tokens to a tree: operator precedence as JSONata publishes it.

use super::ast::{Kind, Lambda, Node, Op, Stage, Transform};
use super::lex::{Lexer, Token};
use super::signature::Signature;
use super::{EXPRESSION_DEPTH_MAX, Fault};
use regex::RegexBuilder;
use std::sync::Arc;

/// Largest compiled regular expression.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Deepest tree: each operator in a row is a level too. It is dropped by recursion.
const TREE_DEPTH_MAX: usize = 400;
/// Most steps of a path: an item carries along what each of them binds.
const STEPS_MAX: usize = 1_000;

/// A whole text as one expression; with it whether `%` is used anywhere.
pub(super) fn parse(text: &str) -> Result<(Node, bool), Fault> {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        token: Token::End,
        start: 0,
        depth: 0,
        uses_parent: false,
        height: 0,
    };
    parser.advance(true)?;
    if parser.token == Token::End {
        return Err(Fault::at("S0207", "Unexpected end of expression", 0));
    }
    let node = parser.expression(0)?;
    if parser.token != Token::End {
        return Err(parser.unexpected());
    }
    Ok((node, parser.uses_parent))
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    /// Where the current token starts.
    start: usize,
    depth: usize,
    uses_parent: bool,
    /// The tallest tree of those that the current one is made of.
    height: usize,
}

fn power(token: &Token) -> u8 {
    match token {
        Token::Op(op) => match *op {
            "[" | "(" | "@" | "#" => 80,
            "." => 75,
            "{" => 70,
            "*" | "/" | "%" | "**" => 60,
            "+" | "-" | "&" => 50,
            "=" | "!=" | "<" | ">" | "<=" | ">=" | "^" | "~>" | "?:" | "??" => 40,
            "?" | ".." | "|" => 20,
            ":=" => 10,
            _ => 0,
        },
        Token::Name(name, false) => match name.as_str() {
            "in" => 40,
            "and" => 30,
            "or" => 25,
            _ => 0,
        },
        _ => 0,
    }
}

impl Parser<'_> {
    fn advance(&mut self, operand: bool) -> Result<Token, Fault> {
        let next = self.lexer.next(operand)?;
        self.start = self.lexer.position();
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn is(&self, op: &str) -> bool {
        matches!(&self.token, Token::Op(found) if *found == op)
    }

    /// Takes `op`; what follows is an operand if `operand`.
    fn expect(&mut self, op: &str, operand: bool) -> Result<(), Fault> {
        if !self.is(op) {
            let found = self.shown();
            return Err(match self.token {
                Token::End => {
                    Fault::at("S0203", format!("Expected \"{op}\" before end of expression"), self.start)
                }
                _ => Fault::at("S0202", format!("Expected \"{op}\", got \"{found}\""), self.start),
            });
        }
        self.advance(operand).map(drop)
    }

    fn shown(&self) -> String {
        match &self.token {
            Token::Op(op) => (*op).to_owned(),
            Token::Name(name, _) => name.clone(),
            Token::Variable(name) => format!("${name}"),
            Token::Str(text) => text.clone(),
            Token::Num(n) => n.to_string(),
            Token::Bool(b) => b.to_string(),
            Token::Null => "null".to_owned(),
            Token::Regex(pattern, _) => format!("/{pattern}/"),
            Token::End => "(end)".to_owned(),
        }
    }

    fn unexpected(&self) -> Fault {
        match self.token {
            Token::End => Fault::at("S0207", "Unexpected end of expression", self.start),
            _ => Fault::at("S0201", format!("Syntax error: \"{}\"", self.shown()), self.start),
        }
    }

    fn expression(&mut self, above: u8) -> Result<Node, Fault> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            return Err(Fault::at("S0500", "The expression is nested too deeply", self.start));
        }
        let beside = std::mem::take(&mut self.height);
        let mut left = self.prefix()?;
        while power(&self.token) > above {
            // Steps lie side by side in their path.
            self.height += usize::from(!self.is("."));
            if self.height > TREE_DEPTH_MAX {
                return Err(Fault::at("S0500", "The expression has too many operators in a row", self.start));
            }
            left = self.infix(left)?;
        }
        self.height = beside.max(self.height + 1);
        self.depth -= 1;
        Ok(left)
    }

    fn prefix(&mut self) -> Result<Node, Fault> {
        let token = std::mem::replace(&mut self.token, Token::End);
        match token {
            Token::Str(text) => self.literal(Kind::Str(text)),
            Token::Num(n) => self.literal(Kind::Num(n)),
            Token::Bool(b) => self.literal(Kind::Bool(b)),
            Token::Null => self.literal(Kind::Null),
            Token::Variable(name) => self.literal(Kind::Variable(name)),
            Token::Regex(pattern, flags) => {
                let regex = self.regex(&pattern, &flags)?;
                self.literal(Kind::Regex(regex))
            }
            Token::Name(name, quoted) => {
                self.advance(false)?;
                if !quoted && (name == "function" || name == "λ") && self.is("(") {
                    return self.lambda();
                }
                Ok(Node::name(name))
            }
            Token::Op(op) => self.prefix_op(op),
            Token::End => Err(self.unexpected()),
        }
    }

    fn literal(&mut self, kind: Kind) -> Result<Node, Fault> {
        self.advance(false)?;
        Ok(Node::new(kind))
    }

    fn prefix_op(&mut self, op: &'static str) -> Result<Node, Fault> {
        match op {
            "*" => self.literal(Kind::Wildcard),
            "**" => self.literal(Kind::Descendants),
            "%" => {
                self.uses_parent = true;
                let step = self.literal(Kind::Parent)?;
                Ok(Node::new(Kind::Path { steps: vec![step], keep_singleton: false }))
            }
            "-" => {
                self.advance(true)?;
                let operand = self.expression(70)?;
                Ok(match operand.kind {
                    Kind::Num(n) => Node::new(Kind::Num(-n)),
                    _ => Node::new(Kind::Negate(Box::new(operand))),
                })
            }
            "(" => {
                self.advance(true)?;
                let mut block = Vec::new();
                while !self.is(")") {
                    block.push(self.expression(0)?);
                    if !self.is(";") {
                        break;
                    }
                    self.advance(true)?;
                }
                self.expect(")", false)?;
                let cons = block.last().is_some_and(|n| n.cons);
                Ok(Node { cons, ..Node::new(Kind::Block(block)) })
            }
            "[" => {
                self.advance(true)?;
                let items = self.list("]", |p| p.expression(0))?;
                Ok(Node::new(Kind::Array(items)))
            }
            "{" => {
                self.advance(true)?;
                let pairs = self.pairs()?;
                Ok(Node::new(Kind::Object(pairs)))
            }
            "|" => self.transform(),
            _ => Err(Fault::at(
                "S0211",
                format!("The symbol \"{op}\" cannot be used as a unary operator"),
                self.start,
            )),
        }
    }

    fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut items = Vec::new();
        while !self.is(close) {
            items.push(item(self)?);
            if !self.is(",") {
                break;
            }
            self.advance(true)?;
        }
        self.expect(close, false)?;
        Ok(items)
    }

    fn pairs(&mut self) -> Result<Vec<(Node, Node)>, Fault> {
        self.list("}", |p| {
            let key = p.expression(0)?;
            p.expect(":", true)?;
            Ok((key, p.expression(0)?))
        })
    }

    fn transform(&mut self) -> Result<Node, Fault> {
        self.advance(true)?;
        let pattern = self.expression(20)?;
        self.expect("|", true)?;
        let update = self.expression(20)?;
        let delete = if self.is(",") {
            self.advance(true)?;
            Some(self.expression(20)?)
        } else {
            None
        };
        self.expect("|", false)?;
        Ok(Node::new(Kind::Transform(Arc::new(Transform { pattern, update, delete }))))
    }

    fn lambda(&mut self) -> Result<Node, Fault> {
        self.advance(true)?;
        let params = self.list(")", |p| match p.advance(false)? {
            Token::Variable(name) => Ok(name),
            _ => Err(Fault::at("S0208", "A parameter of a function must be a variable name", p.start)),
        })?;
        let signature = if self.is("<") { Some(self.signature()?) } else { None };
        self.expect("{", true)?;
        let body = self.expression(0)?;
        self.expect("}", false)?;
        Ok(Node::new(Kind::Lambda(Arc::new(Lambda { params, signature, body }))))
    }

    /// `<a<n>n:n>`: tokens are put together again until the brackets are even.
    fn signature(&mut self) -> Result<Signature, Fault> {
        let (mut text, mut depth) = (String::new(), 0usize);
        loop {
            match &self.token {
                Token::Op("<") => depth += 1,
                Token::Op(">") => depth = depth.saturating_sub(1),
                Token::Op("{") | Token::End => return Err(self.unexpected()),
                _ => {}
            }
            text.push_str(&self.shown());
            self.advance(false)?;
            if depth == 0 {
                return Signature::parse(&text)
                    .map_err(|why| Fault::at("S0401", format!("{why}: {text}"), self.start));
            }
        }
    }

    fn regex(&self, pattern: &str, flags: &str) -> Result<regex::Regex, Fault> {
        RegexBuilder::new(pattern)
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'))
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|e| Fault::at("S0303", format!("Not a supported regular expression: {e}"), self.start))
    }

    fn infix(&mut self, left: Node) -> Result<Node, Fault> {
        // Behind most operators an operand follows.
        let token = self.advance(true)?;
        match token {
            Token::Name(word, _) => {
                let op = match word.as_str() {
                    "and" => Op::And,
                    "or" => Op::Or,
                    _ => Op::In,
                };
                let bind = power(&Token::Name(word, false));
                self.binary(op, left, bind)
            }
            Token::Op(op) => self.infix_op(op, left),
            _ => Err(self.unexpected()),
        }
    }

    fn binary(&mut self, op: Op, left: Node, bind: u8) -> Result<Node, Fault> {
        let right = self.expression(bind)?;
        Ok(Node::new(Kind::Binary(op, Box::new(left), Box::new(right))))
    }

    fn infix_op(&mut self, op: &'static str, left: Node) -> Result<Node, Fault> {
        let bind = power(&Token::Op(op));
        let simple = match op {
            "+" => Op::Add,
            "-" => Op::Subtract,
            "*" => Op::Multiply,
            "/" => Op::Divide,
            "%" => Op::Modulo,
            "=" => Op::Equal,
            "!=" => Op::NotEqual,
            "<" => Op::Less,
            "<=" => Op::LessEqual,
            ">" => Op::Greater,
            ">=" => Op::GreaterEqual,
            "&" => Op::Concat,
            ".." => Op::Range,
            _ => return self.infix_special(op, left, bind),
        };
        self.binary(simple, left, bind)
    }

    fn infix_special(&mut self, op: &'static str, left: Node, bind: u8) -> Result<Node, Fault> {
        match op {
            "." => {
                let right = self.expression(bind)?;
                self.join(left, right)
            }
            "[" => self.bracket(left),
            "(" => self.call(left),
            "{" => {
                if left.group.is_some() {
                    return Err(Fault::at(
                        "S0210",
                        "Each step can only have one grouping expression",
                        self.start,
                    ));
                }
                let pairs = self.pairs()?;
                Ok(Node { group: Some(pairs), ..left })
            }
            "?" => {
                let yes = self.expression(0)?;
                let no = if self.is(":") {
                    self.advance(true)?;
                    Some(Box::new(self.expression(0)?))
                } else {
                    None
                };
                Ok(Node::new(Kind::Condition(Box::new(left), Box::new(yes), no)))
            }
            "?:" => Ok(Node::new(Kind::Default(Box::new(left), Box::new(self.expression(bind)?)))),
            "??" => Ok(Node::new(Kind::Coalesce(Box::new(left), Box::new(self.expression(bind)?)))),
            ":=" => {
                let Kind::Variable(name) = left.kind else {
                    return Err(Fault::at(
                        "S0212",
                        "The left side of := must be a variable name (start with $)",
                        self.start,
                    ));
                };
                Ok(Node::new(Kind::Bind(name, Box::new(self.expression(bind - 1)?))))
            }
            "~>" => {
                let right = self.expression(bind)?;
                let keep_array = left.keep_array || right.keep_array;
                Ok(Node { keep_array, ..Node::new(Kind::Apply(Box::new(left), Box::new(right))) })
            }
            "^" => self.sort(left),
            "@" | "#" => self.binding(op, left),
            _ => Err(self.unexpected()),
        }
    }

    fn join(&mut self, left: Node, right: Node) -> Result<Node, Fault> {
        let is_path = matches!(left.kind, Kind::Path { .. });
        let (mut steps, mut keep_singleton) = into_steps(left);
        // Steps that a path has already were judged when it was joined.
        let judged = if is_path { steps.len() } else { 0 };
        let (more, keep) = into_steps(right);
        steps.extend(more);
        keep_singleton |= keep;
        for step in &mut steps[judged..] {
            keep_singleton |= step.keep_array;
            match &mut step.kind {
                Kind::Str(text) => step.kind = Kind::Name(std::mem::take(text)),
                Kind::Num(_) | Kind::Bool(_) | Kind::Null => {
                    let why = "A literal value cannot be used as a step within a path expression";
                    return Err(Fault::at("S0213", why, self.start));
                }
                _ => {}
            }
        }
        if steps.len() > STEPS_MAX {
            return Err(Fault::at("S0500", "The path has too many steps", self.start));
        }
        let last = steps.len() - 1;
        for at in [0, last] {
            if matches!(steps[at].kind, Kind::Array(_)) {
                steps[at].cons = true;
            }
        }
        Ok(Node::new(Kind::Path { steps, keep_singleton }))
    }

    fn bracket(&mut self, mut left: Node) -> Result<Node, Fault> {
        if self.is("]") {
            self.advance(false)?;
            match &mut left.kind {
                Kind::Path { steps, keep_singleton } => {
                    *keep_singleton = true;
                    if let Some(step) = steps.last_mut() {
                        step.keep_array = true;
                    }
                }
                _ => left.keep_array = true,
            }
            return Ok(left);
        }
        let filter = Stage::Filter(self.expression(0)?);
        self.expect("]", false)?;
        if left.group.is_some() {
            return Err(Fault::at(
                "S0209",
                "A predicate cannot follow a grouping expression in a step",
                self.start,
            ));
        }
        match &mut left.kind {
            Kind::Path { steps, .. } => {
                if let Some(step) = steps.last_mut() {
                    step.stages.push(filter);
                }
            }
            _ => left.predicates.push(filter),
        }
        Ok(left)
    }

    fn call(&mut self, left: Node) -> Result<Node, Fault> {
        let args = self.list(")", |p| {
            if p.is("?") {
                p.advance(false)?;
                return Ok(Node::new(Kind::Placeholder));
            }
            p.expression(0)
        })?;
        let partial = args.iter().any(|a| matches!(a.kind, Kind::Placeholder));
        let procedure = Box::new(left);
        Ok(Node::new(if partial { Kind::Partial(procedure, args) } else { Kind::Call(procedure, args) }))
    }

    fn sort(&mut self, left: Node) -> Result<Node, Fault> {
        self.expect("(", true)?;
        let terms = self.list(")", |p| {
            let descending = p.is(">");
            if descending || p.is("<") {
                p.advance(true)?;
            }
            Ok((p.expression(0)?, descending))
        })?;
        let (mut steps, keep_singleton) = into_steps(left);
        steps.push(Node::new(Kind::Sort(terms)));
        Ok(Node::new(Kind::Path { steps, keep_singleton }))
    }

    fn binding(&mut self, op: &str, left: Node) -> Result<Node, Fault> {
        let Token::Variable(name) = self.advance(false)? else {
            return Err(Fault::at(
                "S0214",
                format!("The right side of {op} must be a variable name"),
                self.start,
            ));
        };
        let (mut steps, keep_singleton) = into_steps(left);
        if let Some(step) = steps.last_mut() {
            match op {
                "#" if step.stages.is_empty() => step.index = Some(name),
                "#" => step.stages.push(Stage::Index(name)),
                _ if !step.stages.is_empty() => {
                    return Err(Fault::at(
                        "S0215",
                        "A context variable binding must precede any predicates on a step",
                        self.start,
                    ));
                }
                _ => step.focus = Some(name),
            }
        }
        Ok(Node::new(Kind::Path { steps, keep_singleton }))
    }
}

/// The steps of a path; of anything else itself as the only step, its predicates as that step's.
fn into_steps(mut node: Node) -> (Vec<Node>, bool) {
    if node.group.is_none() && node.predicates.is_empty() {
        match node.kind {
            Kind::Path { steps, keep_singleton } => return (steps, keep_singleton),
            kind => node.kind = kind,
        }
    }
    node.stages = std::mem::take(&mut node.predicates);
    let keep = node.keep_array;
    (vec![node], keep)
}
