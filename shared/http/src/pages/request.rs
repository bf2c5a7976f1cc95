//! What a page is about: its parameters, language and theme. All of it is in the URL, so that a page can be
//! reloaded, bookmarked and shared.

use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use chrono::{Datelike, Days, Months, NaiveDate};
use gam_model::period::{FIRST_DAY, LAST_DAY};
use gam_model::{Grain, LogPosition, Month, Range};
use gam_query::{BotFilter, SortDirection};
use gam_work::actions::ActionState;

use super::format::encode;
use crate::charts::Language;
use crate::error::{ApiError, quoted};
use crate::params::DEFAULT_DAYS;

/// A range that moves with the current day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    /// This many days that end with today.
    Days(u64),
    /// The current month up to today.
    ThisMonth,
    /// The month before.
    LastMonth,
    /// Twelve months that end with today.
    Year,
}

impl Preset {
    /// The presets that pages link to.
    pub(super) const ALL: [Preset; 7] = [
        Preset::Days(7),
        Preset::Days(28),
        Preset::Days(30),
        Preset::Days(90),
        Preset::ThisMonth,
        Preset::LastMonth,
        Preset::Year,
    ];

    const DEFAULT: Preset = Preset::Days(DEFAULT_DAYS);

    /// Returns the value of `range`.
    pub(super) fn name(self) -> String {
        match self {
            Preset::Days(days) => format!("{days}d"),
            Preset::ThisMonth => "month".to_owned(),
            Preset::LastMonth => "last-month".to_owned(),
            Preset::Year => "12m".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let days = text.strip_suffix('d').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(days) = days.and_then(|digits| digits.parse().ok()) {
            return (1..=3660).contains(&days).then_some(Preset::Days(days));
        }
        Preset::ALL.into_iter().find(|preset| preset.name() == text)
    }

    /// Returns the days.
    pub(super) fn range(self, today: NaiveDate) -> Range {
        let tomorrow = today + Days::new(1);
        let month = Month::of(today).first_day();
        let (since, until) = match self {
            Preset::Days(days) => (tomorrow.checked_sub_days(Days::new(days)), tomorrow),
            Preset::ThisMonth => (Some(month), tomorrow),
            Preset::LastMonth => (month.checked_sub_months(Months::new(1)), month),
            Preset::Year => (tomorrow.checked_sub_months(Months::new(12)), tomorrow),
        };
        let since = since.filter(|since| *since >= FIRST_DAY).unwrap_or(FIRST_DAY);
        Range::new(since, until)
            .unwrap_or_else(|| Range::new(FIRST_DAY, FIRST_DAY + Days::new(1)).expect("a day"))
    }
}

/// The days of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeChoice {
    Preset(Preset),
    /// From `since`, until `until`; one of them may follow from the other and the default.
    Days(Option<NaiveDate>, Option<NaiveDate>),
}

/// The colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Theme {
    Light,
    Dark,
    /// As the system prefers.
    #[default]
    Auto,
}

impl Theme {
    pub(super) const ALL: [Theme; 3] = [Theme::Light, Theme::Dark, Theme::Auto];

    /// Returns the value of `theme`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Theme::Light => "light",
            Theme::Dark => "dark",
            Theme::Auto => "auto",
        }
    }
}

/// Which columns a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ColumnSet {
    #[default]
    Usual,
    /// Lines of code.
    Lines,
    All,
}

impl ColumnSet {
    pub(super) const ALL: [ColumnSet; 3] = [ColumnSet::Usual, ColumnSet::Lines, ColumnSet::All];

    /// Returns the value of `columns`.
    pub(super) fn name(self) -> &'static str {
        match self {
            ColumnSet::Usual => "usual",
            ColumnSet::Lines => "lines",
            ColumnSet::All => "all",
        }
    }
}

/// The metrics that activity can be shown in.
pub(super) const ACTIVITIES: [&str; 3] = ["commits", "prs_merged", "reviews"];

const BOTS: [(&str, BotFilter); 4] = [
    ("auto", BotFilter::Auto),
    ("include", BotFilter::Include),
    ("only", BotFilter::Only),
    ("exclude", BotFilter::Exclude),
];

/// Returns the value of `bots`.
pub(super) fn bots_name(bots: BotFilter) -> &'static str {
    BOTS.iter().find(|(_, it)| *it == bots).map_or("auto", |(name, _)| name)
}

/// The parameters of a page, without unknown ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Params {
    pub(super) range: RangeChoice,
    /// The last day, as the form sends it. The page redirects to `until`.
    pub(super) last: Option<NaiveDate>,
    pub(super) bots: BotFilter,
    pub(super) grain: Option<Grain>,
    pub(super) members: Vec<String>,
    /// One of [`ACTIVITIES`].
    pub(super) activity: &'static str,
    pub(super) sort: Option<String>,
    pub(super) order: Option<SortDirection>,
    pub(super) cursor: Option<String>,
    pub(super) search: String,
    pub(super) id: Option<i64>,
    pub(super) columns: ColumnSet,
    /// The language, if the URL has one.
    pub(super) language: Option<Language>,
    pub(super) theme: Theme,
    /// Where the page for signing in leads to; empty on other pages.
    pub(super) next: String,
    /// The text of the link of the page of a signed link; empty on other pages.
    pub(super) link: String,
    /// With which append the page of a task's log begins; 0 on other pages.
    pub(super) from: u64,
    /// The state of the actions on their page; all states if it is `None`.
    pub(super) action_state: Option<ActionState>,
    /// What the page of the audit log shows; all of it on other pages.
    pub(super) log: LogSelection,
}

/// Which rows of the audit log a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LogSelection {
    /// The organization, or `_`; `None` for all.
    pub(super) org: Option<String>,
    pub(super) kind: Option<String>,
    /// Only older rows than this position of the log of `org`.
    pub(super) before: Option<LogPosition>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            range: RangeChoice::Preset(Preset::DEFAULT),
            last: None,
            bots: BotFilter::Auto,
            grain: None,
            members: Vec::new(),
            activity: ACTIVITIES[0],
            sort: None,
            order: None,
            cursor: None,
            search: String::new(),
            id: None,
            columns: ColumnSet::Usual,
            language: None,
            theme: Theme::Auto,
            next: String::new(),
            link: String::new(),
            from: 0,
            action_state: None,
            log: LogSelection::default(),
        }
    }
}

impl Params {
    /// Parses a query string. Unknown parameters are ignored.
    ///
    /// # Errors
    /// If the value of a known one is invalid.
    pub(super) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::invalid(format!("invalid query string ({error})")))?;
        let mut params = Params::default();
        let (mut since, mut until) = (None, None);
        for (name, value) in pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())) {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match name {
                "range" => params.range = RangeChoice::Preset(required(name, value, Preset::parse(value))?),
                "since" => since = Some(parse_day(name, value)?),
                "until" => until = Some(parse_day(name, value)?),
                "last" => params.last = Some(parse_day(name, value)?),
                "bots" => {
                    let bots = BOTS.iter().find(|(it, _)| *it == value).map(|(_, bots)| *bots);
                    params.bots = required(name, value, bots)?;
                }
                "granularity" if value != "auto" => {
                    params.grain = Some(required(name, value, Grain::parse(value))?)
                }
                "member" => {
                    let names = value.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty());
                    params.members.extend(names.map(str::to_owned));
                }
                "activity" => {
                    let activity = ACTIVITIES.into_iter().find(|it| *it == value);
                    params.activity = required(name, value, activity)?;
                }
                "sort" => params.sort = Some(value.to_owned()),
                "order" => {
                    let order = match value {
                        "asc" => Some(SortDirection::Asc),
                        "desc" => Some(SortDirection::Desc),
                        _ => None,
                    };
                    params.order = Some(required(name, value, order)?);
                }
                "cursor" => params.cursor = Some(value.to_owned()),
                "q" => params.search = value.to_owned(),
                "id" => params.id = Some(required(name, value, value.parse().ok())?),
                "columns" => {
                    let columns = ColumnSet::ALL.into_iter().find(|set| set.name() == value);
                    params.columns = required(name, value, columns)?;
                }
                "lang" => params.language = parse_language(value),
                "next" => params.next = value.to_owned(),
                "link" => params.link = value.to_owned(),
                "from" => params.from = required(name, value, value.parse().ok())?,
                "state" => params.action_state = Some(required(name, value, ActionState::parse(value))?),
                "org" => params.log.org = Some(value.to_owned()),
                "kind" => params.log.kind = Some(value.to_owned()),
                "before" => params.log.before = Some(required(name, value, LogPosition::parse(value))?),
                "theme" => {
                    let theme = Theme::ALL.into_iter().find(|theme| theme.name() == value);
                    params.theme = theme.unwrap_or_default();
                }
                _ => {}
            }
        }
        if since.is_some() || until.is_some() {
            params.range = RangeChoice::Days(since, until);
        }
        params.members.sort_by_key(|name| name.to_lowercase());
        params.members.dedup_by_key(|name| name.to_lowercase());
        Ok(params)
    }

    /// Returns the language and the theme of a query string, whatever else it has.
    pub(super) fn appearance(uri: &Uri) -> Self {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs);
        let pairs = pairs.unwrap_or_default();
        let value = |name: &str| pairs.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
        let theme = Theme::ALL.into_iter().find(|theme| Some(theme.name()) == value("theme"));
        let language = value("lang").and_then(parse_language);
        Params { language, theme: theme.unwrap_or_default(), ..Params::default() }
    }

    /// Returns the days of the page.
    ///
    /// # Errors
    /// If there would be none.
    pub(super) fn days(&self, today: NaiveDate) -> Result<Range, ApiError> {
        let (since, until) = match self.range {
            RangeChoice::Preset(preset) => return Ok(preset.range(today)),
            RangeChoice::Days(since, until) => (since, until),
        };
        let end = until.unwrap_or(today + Days::new(1));
        let start = since.or_else(|| end.checked_sub_days(Days::new(DEFAULT_DAYS))).unwrap_or(FIRST_DAY);
        Range::new(start.max(FIRST_DAY), end).ok_or_else(|| {
            ApiError::invalid(format!("the first day ({start}) must be before {end}, the day after the last"))
        })
    }

    /// Returns the length of the buckets: the chosen one, or a longer one if the range has too many of those.
    pub(super) fn grain(&self, range: Range) -> Grain {
        /// More buckets than this are too narrow to see.
        const MAX_BUCKETS: u64 = 130;
        const DEFAULT_MAX_BUCKETS: u64 = 62;
        let max = if self.grain.is_some() { MAX_BUCKETS } else { DEFAULT_MAX_BUCKETS };
        let fits = |grain: &Grain| range.bucket_count(*grain) <= max;
        let wanted = self.grain.unwrap_or(Grain::Day);
        Grain::ALL.into_iter().filter(|grain| *grain >= wanted).find(fits).unwrap_or(Grain::Month)
    }

    /// Returns the parameters that other pages take too.
    pub(super) fn carried(&self) -> Params {
        Params {
            range: self.range,
            bots: self.bots,
            grain: self.grain,
            language: self.language,
            theme: self.theme,
            ..Params::default()
        }
    }

    /// Returns the same parameters with a change. A cursor belongs to the query before the change.
    pub(super) fn with(&self, change: impl FnOnce(&mut Params)) -> Params {
        let mut params = Params { cursor: None, ..self.clone() };
        change(&mut params);
        params
    }

    /// Returns the query string with `?`, without default values.
    pub(super) fn query(&self) -> String {
        let text: Vec<String> =
            self.pairs().into_iter().map(|(name, value)| format!("{name}={}", encode(&value))).collect();
        format!("?{}", text.join("&"))
    }

    /// Returns the parameters that differ from the default.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        match self.range {
            RangeChoice::Preset(Preset::DEFAULT) => {}
            RangeChoice::Preset(preset) => pairs.push(("range", preset.name())),
            RangeChoice::Days(since, until) => {
                pairs.extend(since.map(|day| ("since", day.to_string())));
                pairs.extend(until.map(|day| ("until", day.to_string())));
            }
        }
        let default = Params::default();
        let mut add = |name: &'static str, is_set: bool, value: String| {
            if is_set {
                pairs.push((name, value));
            }
        };
        add("bots", self.bots != default.bots, bots_name(self.bots).to_owned());
        add("granularity", self.grain.is_some(), self.grain.map_or("", Grain::as_str).to_owned());
        add("activity", self.activity != default.activity, self.activity.to_owned());
        self.members.iter().for_each(|member| add("member", true, member.clone()));
        add("q", !self.search.is_empty(), self.search.clone());
        add("columns", self.columns != default.columns, self.columns.name().to_owned());
        add("sort", self.sort.is_some(), self.sort.clone().unwrap_or_default());
        add("order", self.order.is_some(), self.order.unwrap_or_default().as_str().to_owned());
        add("id", self.id.is_some(), self.id.unwrap_or_default().to_string());
        add("cursor", self.cursor.is_some(), self.cursor.clone().unwrap_or_default());
        add("lang", self.language.is_some(), language_name(self.language.unwrap_or_default()).to_owned());
        add("theme", self.theme != default.theme, self.theme.name().to_owned());
        add("next", !self.next.is_empty(), self.next.clone());
        add("link", !self.link.is_empty(), self.link.clone());
        add("from", self.from != default.from, self.from.to_string());
        pairs.extend(self.action_state.map(|state| ("state", state.as_str().to_owned())));
        let LogSelection { org, kind, before } = self.log.clone();
        pairs.extend(org.map(|org| ("org", org)));
        pairs.extend(kind.map(|kind| ("kind", kind)));
        pairs.extend(before.map(|before| ("before", before.to_string())));
        pairs
    }

    /// Returns the parameters that replace `last`, the form's last day; `None` if there is none.
    pub(super) fn canonical(&self) -> Option<Params> {
        let last = self.last?;
        let since = match self.range {
            RangeChoice::Days(since, _) => since,
            RangeChoice::Preset(_) => None,
        };
        let until = last.checked_add_days(Days::new(1)).unwrap_or(last);
        Some(self.with(|params| {
            params.range = RangeChoice::Days(since, Some(until));
            params.last = None;
        }))
    }
}

/// Returns the value of `lang`.
pub(super) fn language_name(language: Language) -> &'static str {
    match language {
        Language::English => "en",
        Language::Japanese => "ja",
    }
}

fn parse_language(text: &str) -> Option<Language> {
    match text.split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
        "en" => Some(Language::English),
        "ja" => Some(Language::Japanese),
        _ => None,
    }
}

/// Returns the language that a browser prefers, of those there are.
pub(super) fn preferred_language(headers: &HeaderMap) -> Language {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let weighted = accepted.split(',').filter_map(|item| {
        let mut parts = item.split(';');
        let language = parse_language(parts.next()?.trim())?;
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse::<f64>().ok());
        Some((language, weight.unwrap_or(1.0)))
    });
    // The first of equal weights wins.
    let best = weighted.fold(None, |best: Option<(Language, f64)>, (language, weight)| match best {
        Some((_, most)) if most >= weight => best,
        _ => Some((language, weight)),
    });
    best.filter(|(_, weight)| *weight > 0.0).map_or(Language::English, |(language, _)| language)
}

fn required<T>(name: &str, value: &str, parsed: Option<T>) -> Result<T, ApiError> {
    parsed.ok_or_else(|| ApiError::invalid(format!("invalid `{name}` {}", quoted(value))))
}

fn parse_day(name: &str, value: &str) -> Result<NaiveDate, ApiError> {
    let day = NaiveDate::parse_from_str(value, "%Y-%m-%d").ok();
    let day = day.filter(|day| (FIRST_DAY..=LAST_DAY).contains(day) && day.year() < 10_000);
    day.ok_or_else(|| {
        ApiError::invalid(format!("invalid `{name}` {}: expected a day such as 2024-02-29", quoted(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Params {
        Params::parse(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_query_string_survives_a_round_trip() {
        for query in [
            "",
            "range=28d",
            "since=2026-11-01&until=2026-11-29",
            "bots=only&granularity=week&activity=reviews",
            "member=ann&member=Bo%5Bbot%5D",
            "q=a%26b&columns=all&sort=name&order=asc&lang=ja&theme=dark",
            "id=7&cursor=abc",
            "lang=ja&next=%2Forgs",
            "theme=dark&link=eyJ-_.x",
            "from=12",
            "lang=ja&state=waiting",
            "org=_&kind=token_created&before=3.17",
        ] {
            let params = parse(query);
            assert_eq!(params.query(), format!("?{query}"));
            assert_eq!(parse(params.query().trim_start_matches('?')), params);
        }
    }

    #[test]
    fn unknown_and_empty_parameters_are_dropped() {
        assert_eq!(parse("utm_source=x&q=&since=&theme=pink"), Params::default());
        assert!(Params::parse(&"/x?since=2026-02-30".parse().unwrap()).is_err());
        for invalid in ["bots=no", "from=-1", "from=x", "before=x", "state=x"] {
            assert!(Params::parse(&format!("/x?{invalid}").parse().unwrap()).is_err(), "{invalid}");
        }
    }

    #[test]
    fn the_last_day_becomes_the_day_after_it() {
        let params = parse("since=2026-11-01&last=2026-11-28").canonical().unwrap();
        assert_eq!(params.query(), "?since=2026-11-01&until=2026-11-29");
        assert_eq!(parse("since=2026-11-01").canonical(), None);
    }

    #[test]
    fn presets_end_with_today() {
        let days = |query: &str| {
            let range = parse(query).days(day("2026-11-28")).unwrap();
            (range.since().to_string(), range.until().to_string())
        };
        let pair = |since: &str, until: &str| (since.to_owned(), until.to_owned());
        assert_eq!(days(""), pair("2026-10-30", "2026-11-29"));
        assert_eq!(days("range=28d"), pair("2026-11-01", "2026-11-29"));
        assert_eq!(days("range=month"), pair("2026-11-01", "2026-11-29"));
        assert_eq!(days("range=last-month"), pair("2026-10-01", "2026-11-01"));
        assert_eq!(days("range=12m"), pair("2025-11-29", "2026-11-29"));
        assert_eq!(days("since=2026-11-20"), pair("2026-11-20", "2026-11-29"));
        assert!(parse("since=2026-11-20&until=2026-11-20").days(day("2026-11-28")).is_err());
    }

    #[test]
    fn long_ranges_have_long_buckets() {
        let grain = |query: &str| {
            let params = parse(query);
            params.grain(params.days(day("2026-11-28")).unwrap())
        };
        assert_eq!(grain(""), Grain::Day);
        assert_eq!(grain("range=90d"), Grain::Week);
        assert_eq!(grain("range=90d&granularity=day"), Grain::Day);
        assert_eq!(grain("range=12m&granularity=day"), Grain::Week);
        assert_eq!(grain("since=2000-01-01"), Grain::Month);
    }

    #[test]
    fn the_language_is_the_one_that_the_browser_prefers() {
        let language = |accepted: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, accepted.parse().unwrap());
            preferred_language(&headers)
        };
        assert_eq!(language("ja,en-US;q=0.9,en;q=0.8"), Language::Japanese);
        assert_eq!(language("ja-JP"), Language::Japanese);
        assert_eq!(language("de,en;q=0.5,ja;q=0.3"), Language::English);
        assert_eq!(language("de"), Language::English);
        assert_eq!(preferred_language(&HeaderMap::new()), Language::English);
    }
}
