//! The names of metrics, as titles.

use gam_model::AgentMetric;
use gam_model::metric::Metric;

use super::Language;

/// The names of metrics in English and Japanese.
const TITLES: [(&str, &str, &str); 19] = [
    ("commits", "Commits", "コミット"),
    ("merge_commits", "Merge commits", "マージコミット"),
    ("co_authored_commits", "Co-authored commits", "共同作成コミット"),
    ("additions", "Lines added", "追加行数"),
    ("deletions", "Lines deleted", "削除行数"),
    ("lines_changed", "Lines changed", "変更行数"),
    ("files_changed", "Files changed", "変更ファイル数"),
    ("prs_opened", "Pull requests opened", "作成されたプルリクエスト"),
    ("prs_merged", "Pull requests merged", "マージされたプルリクエスト"),
    ("prs_closed", "Pull requests closed without merging", "マージせずクローズされたプルリクエスト"),
    ("reviews", "Reviews", "レビュー"),
    ("issues_opened", "Issues opened", "作成されたIssue"),
    ("issues_closed", "Issues closed", "クローズされたIssue"),
    ("releases", "Releases", "リリース"),
    ("deploys", "Deployments", "デプロイ"),
    ("deploy_failures", "Failed deployments", "失敗したデプロイ"),
    ("active_members", "Active members", "アクティブメンバー"),
    ("cycle_time_hours", "Cycle time", "サイクルタイム"),
    ("first_review_hours", "Time to first review", "最初のレビューまでの時間"),
];

/// The names of metrics of sessions in English and Japanese, with the units of numbers that are no counts.
const AGENT_TITLES: [(&str, &str, &str); 19] = [
    ("agent_sessions", "Sessions of coding agents", "コーディングエージェントのセッション"),
    ("agent_active_hours", "Active time of coding agents", "コーディングエージェントの稼働時間"),
    ("agent_session_hours", "Active time of a session", "セッションの稼働時間"),
    ("agent_prompts", "Prompts", "プロンプト"),
    ("agent_responses", "Responses of models", "モデルの応答"),
    ("agent_tokens_input", "Input tokens", "入力トークン"),
    ("agent_tokens_output", "Output tokens", "出力トークン"),
    ("agent_tokens_cache_read", "Tokens read from the cache", "キャッシュから読んだトークン"),
    ("agent_tokens_cache_write", "Tokens written to the cache", "キャッシュに書いたトークン"),
    ("agent_cost_usd", "Cost at list price (US dollars)", "定価での費用(米ドル)"),
    ("agent_unpriced_tokens", "Tokens without a price", "価格不明のトークン"),
    ("agent_tool_calls", "Tool calls", "ツール呼び出し"),
    ("agent_tool_errors", "Failed tool calls", "失敗したツール呼び出し"),
    ("agent_tool_error_rate", "Tool calls that failed (%)", "ツール呼び出しの失敗率(%)"),
    ("agent_tool_rejections", "Refused tool calls", "拒否されたツール呼び出し"),
    ("agent_tool_rejection_rate", "Tool calls that were refused (%)", "ツール呼び出しの拒否率(%)"),
    ("agent_lines_added", "Lines added by coding agents", "コーディングエージェントが追加した行数"),
    ("agent_lines_deleted", "Lines deleted by coding agents", "コーディングエージェントが削除した行数"),
    (
        "agent_members",
        "People with sessions of coding agents",
        "コーディングエージェントのセッションのある人",
    ),
];

/// Returns the name of a metric as a title. A metric without one gets its name of the catalogue, with spaces.
pub(crate) fn metric_title(metric: &Metric, language: Language) -> String {
    title_of(&TITLES, metric.name, language)
}

/// Returns the name of a metric of sessions as a title, as [`metric_title`] does.
pub(crate) fn agent_metric_title(metric: &AgentMetric, language: Language) -> String {
    title_of(&AGENT_TITLES, metric.name, language)
}

fn title_of(titles: &[(&str, &str, &str)], name: &str, language: Language) -> String {
    let title = titles.iter().find(|(it, ..)| *it == name);
    match (title, language) {
        (Some((_, english, _)), Language::English) => (*english).to_owned(),
        (Some((.., japanese)), Language::Japanese) => (*japanese).to_owned(),
        (None, _) => {
            let mut title = name.replace('_', " ");
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            title
        }
    }
}

/// Returns the names of the median and the 90th percentile.
pub(crate) fn duration_names(language: Language) -> [&'static str; 2] {
    match language {
        Language::English => ["median", "90th percentile"],
        Language::Japanese => ["中央値", "90パーセンタイル"],
    }
}

#[cfg(test)]
mod tests {
    use gam_model::agent_metric::AGENT_CATALOGUE;
    use gam_model::metric::CATALOGUE;

    use super::*;

    #[test]
    fn every_metric_has_a_title_in_both_languages() {
        for metric in CATALOGUE {
            assert!(TITLES.iter().any(|(name, ..)| *name == metric.name), "{}", metric.name);
        }
        for metric in AGENT_CATALOGUE {
            assert!(AGENT_TITLES.iter().any(|(name, ..)| *name == metric.name), "{}", metric.name);
        }
    }
}
