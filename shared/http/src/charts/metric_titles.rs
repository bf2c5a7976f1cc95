//! The names of metrics, as titles.

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

/// Returns the name of a metric as a title. A metric without one gets its name of the catalogue, with spaces.
pub(crate) fn metric_title(metric: &Metric, language: Language) -> String {
    let title = TITLES.iter().find(|(name, ..)| *name == metric.name);
    match (title, language) {
        (Some((_, english, _)), Language::English) => (*english).to_owned(),
        (Some((.., japanese)), Language::Japanese) => (*japanese).to_owned(),
        (None, _) => {
            let mut title = metric.name.replace('_', " ");
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
    use gam_model::metric::CATALOGUE;

    use super::*;

    #[test]
    fn every_metric_has_a_title_in_both_languages() {
        for metric in CATALOGUE {
            assert!(TITLES.iter().any(|(name, ..)| *name == metric.name), "{}", metric.name);
        }
    }
}
