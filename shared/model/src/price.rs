//! List prices of models, by day: what tokens cost without a subscription or a discount.
//!
//! A model is found by its exact id, or by an alias that is listed here. Nothing is guessed from the beginning of a
//! name: a newer model with a similar name can cost a third. A model that is not listed has no price, which is not
//! the same as costing nothing.

use chrono::{Days, NaiveDate};

use crate::session_event::SessionFacts;

/// The day on which the prices were compared with the vendors' pages.
pub const PRICES_AS_OF: NaiveDate = NaiveDate::from_ymd_opt(2026, 11, 28).unwrap();

/// What a web search costs, in nano-dollars: 10 dollars for a thousand.
const WEB_SEARCH_NANO_USD: i64 = 10_000_000;

/// The list price of a model from a day on, in nano-dollars (10⁻⁹ dollars) a token: 3 dollars for a million tokens are 3,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelPrice {
    /// The id of the model.
    pub model: &'static str,
    /// Other ids of the model.
    pub aliases: &'static [&'static str],
    /// The first day of the price, UTC.
    pub from: NaiveDate,
    /// Input that is neither read from nor written to the cache.
    pub input: i64,
    /// Output, including reasoning.
    pub output: i64,
    /// Input read from the cache.
    pub cache_read: i64,
    /// Input written to the cache for five minutes.
    pub cache_write_5m: i64,
    /// Input written to the cache for an hour.
    pub cache_write_1h: i64,
}

const fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

/// Returns the price of a model of Anthropic. Reading from the cache costs a tenth of the input, writing to it 1.25 times
/// the input for five minutes, and twice the input for an hour.
const fn anthropic(
    model: &'static str,
    aliases: &'static [&'static str],
    from: NaiveDate,
    input: i64,
    output: i64,
) -> ModelPrice {
    ModelPrice {
        model,
        aliases,
        from,
        input,
        output,
        cache_read: input / 10,
        cache_write_5m: input * 5 / 4,
        cache_write_1h: input * 2,
    }
}

/// Returns the price of a model of OpenAI. Reading from the cache costs a tenth of the input, and writing to it nothing more
/// than the input.
const fn openai(
    model: &'static str,
    aliases: &'static [&'static str],
    from: NaiveDate,
    input: i64,
    output: i64,
) -> ModelPrice {
    ModelPrice {
        model,
        aliases,
        from,
        input,
        output,
        cache_read: input / 10,
        cache_write_5m: input,
        cache_write_1h: input,
    }
}

/// The prices, by model and then by day. Sources: the vendors' pages of prices.
pub const PRICES: &[ModelPrice] = &[
    anthropic("claude-3-5-haiku-20241022", &[], day(2024, 11, 4), 800, 4_000),
    anthropic("claude-3-5-sonnet-20241022", &[], day(2024, 10, 22), 3_000, 15_000),
    anthropic("claude-3-7-sonnet-20250219", &[], day(2025, 2, 24), 3_000, 15_000),
    anthropic("claude-haiku-4-5-20251001", &["claude-haiku-4-5"], day(2025, 10, 15), 1_000, 5_000),
    anthropic("claude-opus-4-1-20250805", &["claude-opus-4-1"], day(2025, 8, 5), 15_000, 75_000),
    anthropic("claude-opus-4-20250514", &["claude-opus-4-0"], day(2025, 5, 22), 15_000, 75_000),
    anthropic("claude-opus-4-5-20251101", &["claude-opus-4-5"], day(2025, 11, 24), 5_000, 25_000),
    anthropic("claude-opus-4-6", &[], day(2026, 2, 5), 5_000, 25_000),
    anthropic("claude-sonnet-4-20250514", &["claude-sonnet-4-0"], day(2025, 5, 22), 3_000, 15_000),
    anthropic("claude-sonnet-4-5-20250929", &["claude-sonnet-4-5"], day(2025, 9, 29), 3_000, 15_000),
    anthropic("claude-sonnet-4-6", &[], day(2026, 2, 17), 3_000, 15_000),
    openai("gpt-5", &["gpt-5-codex"], day(2025, 8, 7), 1_250, 10_000),
    openai("gpt-5.1", &["gpt-5.1-codex", "gpt-5.1-codex-max"], day(2025, 11, 13), 1_250, 10_000),
    openai("gpt-5.2", &["gpt-5.2-codex"], day(2025, 12, 11), 1_750, 14_000),
    openai("gpt-5.3-codex", &[], day(2026, 2, 5), 1_750, 14_000),
];

/// Returns the price of a model on a UTC day; `None` if the model has none. The first price also holds for the week
/// before it: models can be used a little before they are announced.
pub fn price_on(model: &str, day: NaiveDate) -> Option<&'static ModelPrice> {
    let of_model = |price: &&'static ModelPrice| price.model == model || price.aliases.contains(&model);
    let earliest_use = |price: &ModelPrice| price.from.checked_sub_days(Days::new(7)).unwrap_or(price.from);
    let prices = || PRICES.iter().filter(of_model);
    let latest = prices().filter(|price| price.from <= day).max_by_key(|price| price.from);
    latest.or_else(|| prices().min_by_key(|price| price.from).filter(|first| earliest_use(first) <= day))
}

/// Returns the list price of a response in nano-dollars; `None` if its model has no price on the UTC day, or if it was
/// answered at another speed than the standard one, which has other prices.
pub fn response_cost(facts: &SessionFacts, day: NaiveDate) -> Option<i64> {
    if facts.speed.as_ref().is_some_and(|speed| speed.as_str() != "standard") {
        return None;
    }
    let price = price_on(facts.model.as_ref()?.as_str(), day)?;
    let parts = [
        (facts.input_tokens, price.input),
        (facts.output_tokens, price.output),
        (facts.cache_read_tokens, price.cache_read),
        (facts.cache_write_5m_tokens, price.cache_write_5m),
        (facts.cache_write_1h_tokens, price.cache_write_1h),
        (facts.web_searches, WEB_SEARCH_NANO_USD),
    ];
    Some(parts.into_iter().map(|(count, price)| count.unwrap_or(0).saturating_mul(price)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field_text::FieldText;

    #[test]
    fn ids_and_aliases_name_one_model_each() {
        let mut names: Vec<(&str, NaiveDate)> = PRICES
            .iter()
            .flat_map(|price| price.aliases.iter().chain([&price.model]).map(|name| (*name, price.from)))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(PRICES.iter().all(|price| price.from <= PRICES_AS_OF && price.cache_read > 0));
    }

    #[test]
    fn prices_are_those_of_the_exact_model_and_day() {
        let on = |model: &str, day: NaiveDate| price_on(model, day).map(|price| price.output);
        assert_eq!(on("claude-opus-4-1", day(2026, 1, 1)), Some(75_000));
        assert_eq!(on("claude-opus-4-6", day(2026, 3, 1)), Some(25_000));
        assert_eq!(on("claude-opus-4-9", day(2026, 3, 1)), None, "no prefix of a name decides");
        assert_eq!(on("claude-opus-4-6", day(2025, 3, 1)), None, "before there was the model");
    }

    #[test]
    fn the_cost_is_the_sum_of_all_tokens() {
        let facts = SessionFacts {
            model: Some(FieldText::new("claude-sonnet-4-5-20250929")),
            input_tokens: Some(1_000_000),
            output_tokens: Some(1_000_000),
            cache_read_tokens: Some(1_000_000),
            cache_write_5m_tokens: Some(1_000_000),
            cache_write_1h_tokens: Some(1_000_000),
            web_searches: Some(1_000),
            ..SessionFacts::default()
        };
        let dollars = |cost: Option<i64>| cost.map(|cost| cost as f64 / 1e9);
        let expected = 3.0 + 15.0 + 0.3 + 3.75 + 6.0 + 10.0;
        assert_eq!(dollars(response_cost(&facts, day(2026, 1, 1))), Some(expected));
        let fast = SessionFacts { speed: Some(FieldText::new("fast")), ..facts.clone() };
        assert_eq!(response_cost(&fast, day(2026, 1, 1)), None);
        let unknown = SessionFacts { model: None, ..facts };
        assert_eq!(response_cost(&unknown, day(2026, 1, 1)), None);
    }
}
