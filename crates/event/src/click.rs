//! The benchmark's event: a click in a shop, about 426 bytes, 13 fields with a nested page and device.
//!
//! Pure and seeded, so that every benchmark and test of the route means the same event.

use std::io::Write;

/// JSON Schema of the event.
pub const SCHEMA: &str = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["event_id","event_type","user_id","occurred_at"],"properties":{"event_id":{"type":"string","minLength":8,"maxLength":64},"event_type":{"enum":["page_view","add_to_cart","purchase","search"]},"user_id":{"type":"integer","minimum":0},"session_id":{"type":"string"},"occurred_at":{"type":"string"},"page":{"type":"object","properties":{"url":{"type":"string"},"referrer":{"type":"string"}}},"product_id":{"type":"string","pattern":"^SKU-[0-9]{6}$"},"quantity":{"type":"integer","minimum":1},"price":{"type":"number","minimum":0},"currency":{"type":"string","minLength":3,"maxLength":3},"country":{"type":"string"},"device":{"type":"object"},"tags":{"type":"array","items":{"type":"string"}}}}"#;

/// Product ids run from `SKU-000000` to one below this.
pub const PRODUCTS: u64 = 5_000;

const TYPES: [&str; 4] = ["page_view", "add_to_cart", "purchase", "search"];
const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "GB", "JP", "BR", "IN", "AU"];
/// 2026-11-21T00:00:00Z; an event comes a second and a millisecond after the one before, within a day.
const DAY: &str = "2026-11-21";

/// Writes click events, endlessly.
#[derive(Clone, Debug)]
pub struct ClickEvents {
    seed: u64,
    invalid_percent: u64,
    duplicate_permille: u64,
    written: u64,
}

impl ClickEvents {
    /// `invalid_percent` of the events break the schema, in equal parts by a quantity of 0, no `event_id`
    /// and a `product_id` outside its pattern. `duplicate_permille` of them have the `event_id` of an
    /// earlier one.
    pub fn new(seed: u64, invalid_percent: u32, duplicate_permille: u32) -> Self {
        Self {
            seed,
            invalid_percent: invalid_percent.into(),
            duplicate_permille: duplicate_permille.into(),
            written: 0,
        }
    }

    /// How many events were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends the next event and a newline.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        let number = self.written;
        self.written += 1;
        let chance = mix(self.seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f));
        let broken = (chance % 100 < self.invalid_percent).then_some((chance >> 32) % 3);
        let repeats = number > 0 && (chance >> 8) % 1_000 < self.duplicate_permille;
        let id = if repeats { number - 1 - (chance >> 40) % number.min(10_000) } else { number };
        out.push(b'{');
        if broken != Some(0) {
            let high = (id ^ self.seed.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            put(out, format_args!("\"event_id\":\"{high:016x}{id:016x}\","));
        }
        self.write_rest(number, broken, out);
    }

    /// Appends the next `count` events, a line each.
    pub fn write_many(&mut self, count: usize, out: &mut Vec<u8>) {
        for _ in 0..count {
            self.write(out);
        }
    }

    fn write_rest(&self, number: u64, broken: Option<u64>, out: &mut Vec<u8>) {
        let millis = (number * 1_001) % 86_400_000;
        let (seconds, rest) = (millis / 1_000, millis % 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let kind = TYPES[(number % 4) as usize];
        let (user, session) = (number % 100_000, number / 20);
        put(
            out,
            format_args!(
                "\"event_type\":\"{kind}\",\"user_id\":{user},\"session_id\":\"s-{session}\",\
                 \"occurred_at\":\"{DAY}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z\","
            ),
        );
        let product = number % PRODUCTS;
        let sku = if broken == Some(1) { "sku" } else { "SKU" };
        let quantity = if broken == Some(2) { 0 } else { number % 5 + 1 };
        let (whole, cents) = (number % 500, number % 100);
        put(
            out,
            format_args!(
                "\"page\":{{\"url\":\"https://shop.example/products/{product}\",\
                 \"referrer\":\"https://search.example/?q=shoes\"}},\
                 \"product_id\":\"{sku}-{product:06}\",\"quantity\":{quantity},\"price\":{whole}.{cents:02},"
            ),
        );
        let country = COUNTRIES[(number % 8) as usize];
        let campaign = number % 50;
        put(
            out,
            format_args!(
                "\"currency\":\"EUR\",\"country\":\"{country}\",\"device\":{{\"os\":\"android\",\
                 \"browser\":\"chrome\",\"screen\":\"412x915\"}},\"tags\":[\"web\",\"campaign-{campaign}\"]}}\n"
            ),
        );
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = out.write_fmt(text);
}

/// Spreads a counter's bits (SplitMix64's finaliser).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_of_the_size_and_shares_asked_for() {
        let mut out = Vec::new();
        ClickEvents::new(7, 10, 20).write_many(10_000, &mut out);
        let mut ids = std::collections::HashSet::new();
        let (mut broken, mut repeated) = (0, 0);
        for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            let sku = event["product_id"].as_str().expect("text");
            match event["event_id"].as_str() {
                Some(id) => repeated += usize::from(!ids.insert(id.to_owned())),
                None => broken += 1,
            }
            broken += usize::from(event["quantity"] == 0) + usize::from(!sku.starts_with("SKU"));
        }
        assert!((900..1_100).contains(&broken), "{broken} broken");
        assert!((150..250).contains(&repeated), "{repeated} repeated");
        assert!((3_950_000..4_350_000).contains(&out.len()), "{} bytes", out.len());
    }

    #[test]
    fn equal_seeds_give_equal_events() {
        let run = |seed| {
            let mut out = Vec::new();
            ClickEvents::new(seed, 1, 1).write_many(100, &mut out);
            out
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}
