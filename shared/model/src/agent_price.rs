//! What tokens cost: a dated table of list prices, and what an organization adds to it.
//!
//! A price belongs to an exact model id, or to an explicit alias of one. Nothing is guessed from a part of a name, so the
//! tokens of an unknown model have no price, and are counted as such.
//!
//! Prices are whole nano-dollars (a billionth of a US dollar) a token. Sums of them are exact, in any order.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// The table of list prices.
const PRICES: &str = include_str!("agent_prices.csv");
/// Other ids of models in the table.
const ALIASES: &str = include_str!("agent_model_aliases.csv");
/// Nano-dollars a token in one dollar a million tokens.
const NANO_PER_TOKEN: f64 = 1e3;
/// Nano-dollars a search in one dollar a thousand searches.
const NANO_PER_SEARCH: f64 = 1e6;
/// The only speed class that list prices are of.
const STANDARD_SPEED: &str = "standard";

/// The tokens of responses, by price. All are counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Input tokens, without those read from or written to the cache.
    pub input: u64,
    /// Output tokens, including reasoning.
    pub output: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Web searches of the service.
    pub web_searches: u64,
}

impl TokenUsage {
    /// Returns the number of all tokens.
    pub fn tokens(&self) -> u64 {
        [self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// The prices of one model, in nano-dollars a token or a search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenRates {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    web_search: u64,
}

impl TokenRates {
    /// Returns the cost in nano-dollars.
    pub fn cost(&self, usage: &TokenUsage) -> u64 {
        [
            (self.input, usage.input),
            (self.output, usage.output),
            (self.cache_read, usage.cache_read),
            (self.cache_write_5m, usage.cache_write_5m),
            (self.cache_write_1h, usage.cache_write_1h),
            (self.web_search, usage.web_searches),
        ]
        .into_iter()
        .fold(0, |sum: u64, (rate, count)| sum.saturating_add(rate.saturating_mul(count)))
    }
}

/// A price that an organization configures. Amounts are US dollars a million tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfiguredPrice {
    /// The id of the model, as logs have it.
    pub model: String,
    /// The first day (UTC) of the price; `None` if it holds from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// Input tokens outside of the cache.
    pub input: f64,
    /// Output tokens.
    pub output: f64,
    /// Input tokens read from the cache; `None` if they cost as much as others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<f64>,
    /// Input tokens written to the cache for five minutes; `None` if they cost as much as others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<f64>,
    /// Input tokens written to the cache for an hour; `None` if they cost as much as those for five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<f64>,
}

// Amounts are checked to be finite numbers.
impl Eq for ConfiguredPrice {}

impl ConfiguredPrice {
    /// The greatest price that is accepted, in dollars a million tokens.
    const MAX_DOLLARS: f64 = 1e6;

    /// Returns what is wrong with the price; `None` if it is valid.
    fn fault(&self) -> Option<String> {
        let amounts =
            [Some(self.input), Some(self.output), self.cache_read, self.cache_write_5m, self.cache_write_1h];
        if self.model.trim().is_empty() {
            return Some("a price in [[sessions.prices]] has an empty model: write its id".to_owned());
        }
        let is_valid = |amount: &f64| (0.0..=Self::MAX_DOLLARS).contains(amount);
        amounts.into_iter().flatten().find(|amount| !is_valid(amount)).map(|amount| {
            format!("invalid price {amount} of {:?}: expected dollars a million tokens", self.model)
        })
    }

    fn rates(&self) -> TokenRates {
        let nano = |dollars: f64| (dollars * NANO_PER_TOKEN).round() as u64;
        let cache_write_5m = self.cache_write_5m.unwrap_or(self.input);
        TokenRates {
            input: nano(self.input),
            output: nano(self.output),
            cache_read: nano(self.cache_read.unwrap_or(self.input)),
            cache_write_5m: nano(cache_write_5m),
            cache_write_1h: nano(self.cache_write_1h.unwrap_or(cache_write_5m)),
            web_search: 0,
        }
    }
}

/// The prices and model ids that an organization adds to the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceSettings {
    /// Prices. Those of a model take the place of all prices that the table has for it.
    prices: Vec<ConfiguredPrice>,
    /// From an id in logs to the id that has a price.
    models: BTreeMap<String, String>,
}

impl PriceSettings {
    /// Creates the settings.
    ///
    /// # Errors
    /// If a price is negative, not a number or has no model, or if an alias leads to a model without a price. The text
    /// says which one.
    pub fn new(mut prices: Vec<ConfiguredPrice>, models: BTreeMap<String, String>) -> Result<Self, String> {
        if let Some(fault) = prices.iter().find_map(ConfiguredPrice::fault) {
            return Err(fault);
        }
        prices.sort_by(|a, b| (&a.model, a.from).cmp(&(&b.model, b.from)));
        if let Some(pair) =
            prices.windows(2).find(|pair| (&pair[0].model, pair[0].from) == (&pair[1].model, pair[1].from))
        {
            return Err(format!(
                "two prices of {:?} begin on the same day: remove one of them",
                pair[0].model
            ));
        }
        let settings = PriceSettings { prices, models };
        let table = PriceTable::new(&settings);
        match settings.models.iter().find(|(_, model)| !table.prices.contains_key(model.as_str())) {
            Some((alias, model)) => Err(format!(
                "{alias:?} in [sessions.models] leads to {model:?}, which has no price: add it to [[sessions.prices]]"
            )),
            None => Ok(settings),
        }
    }

    /// Returns whether nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty() && self.models.is_empty()
    }

    /// Returns the prices, by model and day.
    pub fn prices(&self) -> &[ConfiguredPrice] {
        &self.prices
    }

    /// Returns the ids of models, from an id in logs to the id that has a price.
    pub fn models(&self) -> &BTreeMap<String, String> {
        &self.models
    }
}

/// The prices that apply to an organization.
#[derive(Debug, Clone)]
pub struct PriceTable {
    /// The prices of each model, in the order of their first days; `None` is the beginning.
    prices: BTreeMap<String, Vec<(Option<NaiveDate>, TokenRates)>>,
    aliases: BTreeMap<String, String>,
}

impl PriceTable {
    /// Creates the table of list prices, with what the organization adds.
    pub fn new(settings: &PriceSettings) -> Self {
        let mut prices: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for [model, from, amounts @ ..] in rows::<8>(PRICES) {
            let from = (!from.is_empty()).then(|| from.parse().expect("the table has valid days"));
            let [input, output, cache_read, cache_write_5m, cache_write_1h, web_search] =
                amounts.map(|amount| amount.parse::<f64>().expect("the table has valid amounts"));
            let nano = |dollars: f64| (dollars * NANO_PER_TOKEN).round() as u64;
            let rates = TokenRates {
                input: nano(input),
                output: nano(output),
                cache_read: nano(cache_read),
                cache_write_5m: nano(cache_write_5m),
                cache_write_1h: nano(cache_write_1h),
                web_search: (web_search * NANO_PER_SEARCH).round() as u64,
            };
            prices.entry(model.to_owned()).or_default().push((from, rates));
        }
        for price in &settings.prices {
            prices.remove(&price.model);
        }
        for price in &settings.prices {
            prices.entry(price.model.clone()).or_default().push((price.from, price.rates()));
        }
        let aliases = rows::<2>(ALIASES).map(|[alias, model]| (alias.to_owned(), model.to_owned()));
        let aliases = aliases.chain(settings.models.clone()).collect();
        PriceTable { prices, aliases }
    }

    /// Returns the prices of a model on a day (UTC). `speed` is the speed class that the service charged. `None` if the
    /// table has no price of the model, of that day or of that speed.
    pub fn rates(&self, model: &str, speed: Option<&str>, day: NaiveDate) -> Option<&TokenRates> {
        if speed.is_some_and(|speed| speed != STANDARD_SPEED) {
            return None;
        }
        // What the organization configures for an id comes before what the id stands for.
        let id = self.prices.get_key_value(model).map(|(id, _)| id).or_else(|| self.aliases.get(model))?;
        let prices = self.prices.get(id)?;
        prices.iter().rev().find(|(from, _)| from.is_none_or(|from| from <= day)).map(|(_, rates)| rates)
    }
}

/// Returns the lines of a table: all but comments, empty lines and the head.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).skip(1);
    lines.map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        fields.try_into().expect("every line of the table has all fields")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn prices_belong_to_exact_ids_and_aliases() {
        let table = PriceTable::new(&PriceSettings::default());
        let usage = TokenUsage {
            input: 1_000_000,
            output: 1_000_000,
            cache_read: 1_000_000,
            cache_write_5m: 1_000_000,
            cache_write_1h: 1_000_000,
            web_searches: 1_000,
        };
        let cost = |model: &str, speed: Option<&str>| {
            table.rates(model, speed, day("2026-03-01")).map(|rates| rates.cost(&usage) as f64 / 1e9)
        };
        assert_eq!(cost("claude-opus-4-6", None), Some(5.0 + 25.0 + 0.5 + 6.25 + 10.0 + 10.0));
        assert_eq!(cost("claude-sonnet-4-5-20250929", Some("standard")), cost("claude-sonnet-4-5", None));
        assert_eq!(cost("claude-opus-4-6", Some("fast")), None);
        for unknown in ["claude-opus-4-60", "claude-opus", "", "CLAUDE-OPUS-4-6"] {
            assert_eq!(cost(unknown, None), None, "{unknown}");
        }
    }

    #[test]
    fn cached_tokens_cost_what_the_vendors_publish() {
        let table = PriceTable::new(&PriceSettings::default());
        for (model, prices) in &table.prices {
            for (_, rates) in prices {
                assert!(rates.cache_read <= rates.input && rates.input <= rates.cache_write_5m, "{model}");
                if model.starts_with("claude-") {
                    assert_eq!(rates.cache_write_5m * 4, rates.input * 5, "{model}: 1.25 times");
                    assert_eq!(rates.cache_write_1h, rates.input * 2, "{model}");
                }
            }
        }
        assert!(table.aliases.values().all(|model| table.prices.contains_key(model)));
    }

    #[test]
    fn an_organization_adds_dated_prices() {
        let price = |model: &str, from: Option<&str>, input: f64| ConfiguredPrice {
            model: model.into(),
            from: from.map(day),
            input,
            output: 2.0,
            cache_read: None,
            cache_write_5m: None,
            cache_write_1h: None,
        };
        let models = BTreeMap::from([("gateway/x".to_owned(), "x".to_owned())]);
        let prices = vec![price("x", Some("2026-02-01"), 3.0), price("x", Some("2026-01-01"), 1.0)];
        let settings = PriceSettings::new(prices, models).unwrap();
        let table = PriceTable::new(&settings);
        let input = TokenUsage { input: 1, ..TokenUsage::default() };
        let cost = |at: &str| table.rates("gateway/x", None, day(at)).map(|rates| rates.cost(&input));
        let days = ["2025-12-31", "2026-01-31", "2026-02-01"];
        assert_eq!(days.map(cost), [None, Some(1_000), Some(3_000)]);

        let invalid = PriceSettings::new(vec![price("x", None, -1.0)], BTreeMap::new()).unwrap_err();
        assert!(invalid.contains("invalid price -1"), "{invalid}");
        let twice = PriceSettings::new(vec![price("x", None, 1.0), price("x", None, 2.0)], BTreeMap::new());
        assert!(twice.unwrap_err().contains("same day"));
        let models = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert!(PriceSettings::new(Vec::new(), models).unwrap_err().contains("no price"));
    }
}
