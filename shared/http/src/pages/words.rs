//! The texts of the pages, in English and Japanese.
//!
//! Every text has both languages, or the crate does not compile. A test checks that both have the same placeholders,
//! which are names in braces: `{n}`.

use maud::{Markup, html};

use crate::charts::Language;

/// Defines the texts: name, English, Japanese.
macro_rules! words {
    ($($name:ident: $english:literal, $japanese:literal;)*) => {
        /// The texts of one language.
        pub(super) struct Words { $(pub(super) $name: &'static str,)* }
        static ENGLISH: Words = Words { $($name: $english,)* };
        static JAPANESE: Words = Words { $($name: $japanese,)* };
        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $japanese),)*];
    };
}

words! {
    product: "GitHub activity metrics", "GitHubアクティビティ指標";
    skip: "Skip to the content", "本文へ移動";
    organizations: "Organizations", "Organization一覧";
    overview: "Overview", "概要";
    delivery: "Delivery", "デリバリー";
    repositories: "Repositories", "リポジトリ";
    members: "Members", "メンバー";
    repository: "Repository", "リポジトリ";
    member: "Member", "メンバー";
    sections: "Sections", "セクション";
    cycle_time: "Cycle time", "サイクルタイム";
    first_review: "Time to first review", "最初のレビューまでの時間";
    first_review_received: "Time to first review, received", "最初のレビューを受けるまでの時間";
    merged: "Merged pull requests", "マージされたプルリクエスト";
    opened: "Opened pull requests", "作成されたプルリクエスト";
    closed: "Closed without merging", "マージせずクローズ";
    reviews: "Reviews", "レビュー";
    reviews_given: "Reviews given", "行ったレビュー";
    deploys: "Deployments", "デプロイ";
    failed: "Failed deployments", "失敗したデプロイ";
    failed_share: "Share that failed", "デプロイ失敗率";
    releases: "Releases", "リリース";
    commits: "Commits", "コミット";
    merge_commits: "Merge commits", "マージコミット";
    co_authored: "Co-authored commits", "共同作成コミット";
    additions: "Lines added", "追加行数";
    deletions: "Lines deleted", "削除行数";
    files_changed: "Files changed", "変更ファイル数";
    lines_changed: "Lines changed", "変更行数";
    issues_opened: "Issues opened", "Issue作成";
    issues_closed: "Issues closed", "Issueクローズ";
    median: "median", "中央値";
    p90: "90th percentile", "90パーセンタイル";
    merged_short: "Merged", "マージ";
    first_review_short: "First review, median", "最初のレビュー(中央値)";
    cycle_time_short: "Cycle time, median", "サイクルタイム(中央値)";
    name: "Name", "名前";
    metric: "Metric", "指標";
    value: "Value", "値";
    trend: "Trend", "推移";
    trend_note: "Trends show {x} {unit}, each on a scale of its own.", "推移は{x}({unit})です。目盛りは行ごとに異なります。";
    range_of: "{a} ({n} days), {zone}", "{a}({n}日間、{zone})";
    days_1: "{a} (1 day), {zone}", "{a}(1日間、{zone})";
    last_days: "{n} days", "直近{n}日";
    this_month: "this month", "今月";
    last_month: "last month", "先月";
    months_12: "12 months", "12か月";
    other_days: "other days", "期間を指定";
    first_day: "First day", "開始日";
    last_day: "Last day", "終了日";
    show: "Show", "表示";
    earlier: "Earlier", "前の期間";
    later: "Later", "次の期間";
    range: "Range", "期間";
    granularity: "Granularity", "粒度";
    by_day: "by day", "日別";
    by_week: "by week", "週別";
    by_month: "by month", "月別";
    compared: "Changes compare with {a}.", "増減は前期間({a})との比較です。";
    whole_weeks: "Ranges of whole weeks, such as 28 days, compare best.", "比較には28日など週単位の期間が適しています。";
    only_members: "Only these members are counted: {x}.", "集計対象のメンバー: {x}";
    unknown_members: "{org} has no member {x}: check the spelling.", "{org} にメンバー {x} はいません(スペルをご確認ください)。";
    change: "Change", "増減";
    better: "better", "改善";
    worse: "worse", "悪化";
    same: "no change", "変化なし";
    was_zero: "was 0", "前期間は0";
    no_data: "no data", "データなし";
    points: "{x} points", "{x}ポイント";
    incomparable: "not comparable", "比較できません";
    incomparable_why: "Changes are hidden: the days before are not complete.", "前期間のデータがそろっていないため、増減は表示しません。";
    partial: "The last {unit} is not over, or the range cuts it. It is pale or dotted.", "最後の{unit}は途中、または期間で区切られています(淡色・点線)。";
    unit_day: "day", "日";
    unit_week: "week", "週";
    unit_month: "month", "月";
    as_of: "Read up to {t}", "{t} 時点のデータ";
    complete_since: "Complete since {d}", "{d} 以降のデータがそろっています";
    incomplete: "These numbers are not complete.", "数値は不完全です。";
    incomplete_before: "GitHub was read from {d} on; earlier days are missing or partial.", "{d} より前のデータは取得されていないか、一部のみです。";
    incomplete_after: "GitHub was read up to {t}; later days are missing or partial.", "{t} より後のデータは取得されていないか、一部のみです。";
    gaps: "{n} gaps", "欠けているデータ{n}件";
    gap_more: "and {n} more", "ほか{n}件";
    gap_fix: "To read them, run: {c}", "取得するには次を実行してください: {c}";
    median_note: "median", "中央値";
    p90_note: "p90 {x} · {n} merged", "p90 {x} · マージ{n}件";
    coverage: "{a} of {b} merged had a review", "マージ{b}件のうち{a}件にレビューあり";
    opened_note: "{n} opened", "作成{n}件";
    active_note: "{n} active members", "アクティブ{n}人";
    a_day: "{x} a day", "1日あたり{x}";
    of_attempts: "{a} of {b}", "{b}件中{a}件";
    bots: "Bots", "ボット";
    bots_auto: "left out", "除外";
    bots_exclude: "left out everywhere", "すべてで除外";
    bots_include: "included", "含む";
    bots_only: "only", "ボットのみ";
    bots_note: "Deployments and releases count everybody, bots too.", "デプロイとリリースはボットも含みます。";
    sums: "A commit in two repositories counts once here.", "複数リポジトリにある同じコミットは1件として数えます。";
    person_note: "Counts what GitHub attributes to this account. It is no measure of a person’s work.", "GitHub上でこのアカウントに紐づく件数です。個人の評価を示すものではありません。";
    members_filter: "Members", "メンバー";
    members_all: "all", "全員";
    members_some: "{n} selected", "{n}人を選択中";
    members_help: "Logins, separated by commas", "ログイン名(カンマ区切り)";
    members_clear: "show all members", "全員を表示";
    activity: "Activity by repository", "リポジトリ別アクティビティ";
    activity_over_time: "Activity", "アクティビティ";
    other: "other", "その他";
    durations: "How long pull requests take", "プルリクエストの所要時間";
    durations_review: "How long the first review takes", "最初のレビューまでの時間の推移";
    spread: "How cycle time is spread", "サイクルタイムの分布";
    spread_review: "How time to first review is spread", "最初のレビューまでの時間の分布";
    spread_note: "Half within {a} · 9 of 10 within {b}", "半数は{a}以内 · 9割は{b}以内";
    who_reviews: "Who reviews", "レビューの分担";
    who_reviews_note: "The members with most reviews, by name: {a} of {b}.", "レビューの多いメンバー(名前順): {b}人中{a}人";
    deploys_over_time: "Deployments over time", "デプロイの推移";
    delivery_by_repo: "Delivery by repository", "リポジトリ別デリバリー";
    succeeded: "succeeded", "成功";
    did_fail: "failed", "失敗";
    failed_note: "“Failed” never succeeded within 90 days. It is not DORA’s change failure rate.", "「失敗」は90日以内に一度も成功しなかったデプロイです。DORAの変更障害率とは異なります。";
    no_deploys: "GitHub knows no deployments here. If workflows deploy, name them in the configuration: [deploys] workflows = [\"deploy.yml\"].", "GitHub上にデプロイがありません。ワークフローでデプロイしている場合は、設定に [deploys] workflows = [\"deploy.yml\"] を追加してください。";
    calendar: "Contributions of a year", "1年間のコントリビューション";
    calendar_note: "Commits, pull requests and issues opened, reviews.", "コミット、作成されたPRとIssue、レビュー。";
    calendar_sum: "{n} in total · busiest {d}: {m}", "合計{n}件 · 最多 {d}: {m}件";
    less: "less", "少";
    more: "more", "多";
    weekdays: "Mon Tue Wed Thu Fri Sat Sun", "月 火 水 木 金 土 日";
    weekday: "Weekday", "曜日";
    numbers: "Numbers", "数値を表示";
    csv: "Data of the API", "APIのデータ";
    link_days: "Link to these days", "この期間へのリンク";
    period: "Days", "期間";
    empty: "Nothing happened in these days.", "この期間に活動はありません。";
    last_event: "Last event: {d}.", "最後の活動: {d}";
    show_last: "Show the days around it", "その前後の期間を表示";
    nothing_yet: "No organization yet.", "まだOrganizationがありません。";
    run_this: "Run on this machine:", "このマシンで次を実行してください:";
    or_sample: "Or look at a sample:", "サンプルデータを見るには:";
    computing: "The numbers are being computed.", "数値を計算中です。";
    all_of: "All {n}", "全{n}件";
    first_rows: "The {a} of {b} with most {x}; see the list for others", "{x}の多い{a}件を表示(全{b}件)。残りは一覧へ";
    most: "By {x}, greatest first", "{x}の多い順";
    search: "Search", "検索";
    find: "Find", "検索";
    sorted_asc: "Sorted by {x}, ascending.", "{x}の昇順";
    sorted_desc: "Sorted by {x}, descending.", "{x}の降順";
    first_page: "First page", "最初のページ";
    next_page: "Next", "次へ";
    pages: "Pages", "ページ";
    shown: "{n} on this page", "このページに{n}件";
    found_none: "No name contains this text, or nobody was active in these days.", "該当する名前がないか、この期間に活動がありません。";
    columns: "Columns", "列";
    columns_usual: "usual", "標準";
    columns_lines: "lines of code", "行数";
    columns_all: "all", "すべて";
    its_members: "Its members", "このリポジトリのメンバー";
    their_repositories: "Their repositories", "活動したリポジトリ";
    bot: "bot", "ボット";
    theme: "Theme", "テーマ";
    light: "Light", "ライト";
    dark: "Dark", "ダーク";
    system: "As the system", "システムに合わせる";
    definitions: "Definitions", "指標の定義";
    api: "API", "API";
    api_query: "This query in the API", "APIでのクエリ";
    version: "Version", "バージョン";
    sign_in: "Sign in", "サインイン";
    sign_out: "Sign out", "サインアウト";
    access_token: "Access token", "アクセストークン";
    token_refused: "This token is not valid.", "このトークンは使用できません。";
    token_refused_why: "It may be mistyped, expired or revoked.", "入力ミス、有効期限切れ、または取り消された可能性があります。";
    token_made_by: "An administrator creates tokens with github-metrics token new.", "トークンは管理者が github-metrics token new で作成します。";
    signed_in_already: "Signed in already?", "サインイン済みですか?";
    go_on: "Continue", "続ける";
    nothing_here: "There is nothing here that you can see.", "ページが見つからないか、表示する権限がありません。";
    bad_request: "This address is not valid.", "このアドレスは正しくありません。";
    unauthorized: "Sign in to see this page.", "このページを表示するにはサインインしてください。";
    too_many: "Too many requests. Try again in a few seconds.", "リクエストが多すぎます。数秒後に再試行してください。";
    not_ready: "The numbers are not ready. Try again in a few seconds.", "まだ表示できません。数秒後に再試行してください。";
    cursor_expired: "The list has changed since. Begin at the first page.", "一覧が更新されました。最初のページから表示してください。";
    failed_inside: "Something failed. Reference {id}.", "エラーが発生しました。参照番号: {id}";
    go_overview: "Go to the organizations", "Organization一覧へ";
    first_event: "First event", "最初の活動";
    last_event_head: "Last event", "最後の活動";
    people_count: "Contributors ever", "コントリビューター数(累計)";
    repos_count: "Repositories ever", "リポジトリ数(累計)";
    chart_help: "Arrow keys move through the chart.", "矢印キーで値を読み取れます。";
    table_of: "Table: {x}", "表: {x}";
    tasks: "Tasks", "タスク";
    no_tasks: "No tasks yet. An issue with the label agent-ready becomes one.", "タスクはまだありません。ラベル agent-ready の付いたIssueがタスクになります。";
    tasks_ready: "Ready", "受付可能";
    tasks_waiting: "Waiting", "待機中";
    tasks_claimed: "In work", "作業中";
    tasks_completed: "Completed", "完了";
    tasks_failed: "Failed too often", "失敗(上限到達)";
    task_issue: "Issue", "Issue";
    task_worker: "Worker", "ワーカー";
    task_note: "Note", "備考";
    task_failures: "Failures", "失敗回数";
    task_since: "Since", "更新日時";
    task_lease: "lease until {t}", "{t} まで確保";
    task_expired: "lease ended {t}", "{t} に期限切れ";
    workers: "Workers", "ワーカー一覧";
    worker_token: "Token", "トークン";
    worker_claimed: "Claimed", "確保日時";
    worker_lease: "Lease until", "確保期限";
    worker_state: "State", "状態";
    worker_works: "works", "作業中";
    worker_silent: "silent since the end of its lease", "期限切れ(応答なし)";
    task_cancelled: "cancelled: {x}", "取り消し: {x}";
    reason_gone: "deleted or transferred", "削除または移動済み";
    reason_closed: "closed", "クローズ済み";
    reason_unlabelled: "no task label", "タスクのラベルなし";
    reason_excluded: "excluded by a label", "ラベルにより対象外";
    reason_edited: "edited by somebody without write permission", "書き込み権限のない人が編集";
    reason_locked: "locked", "ロック中";
    reason_blocked: "blocked by another issue", "他のIssueによりブロック中";
    reason_unfetched: "not read completely yet", "読み取り中";
    reason_has_pull_request: "an open pull request closes it", "対応するプルリクエストあり";
    reason_too_many_attempts: "too many attempts", "試行回数の上限に到達";
    reason_completed: "completed", "完了済み";
    reason_token_revoked: "the token was revoked", "トークンの取り消し";
    reason_suspended: "the GitHub App is suspended", "GitHub Appが停止中";
    audit_log: "Audit log", "監査ログ";
    log_org: "Organization", "Organization";
    log_empty: "There are no rows.", "記録はありません。";
    log_all: "all", "すべて";
    log_no_org: "none, such as tokens", "なし(トークンなど)";
    log_older: "Older", "以前の記録";
    task_output: "Output", "出力";
    task_no_output: "No output yet.", "出力はまだありません。";
    task_output_cut: "The output was too long. The rest of it was dropped.", "出力が長すぎるため、残りは保存されませんでした。";
    task_output_more: "Later lines", "続きを表示";
    log_time: "Time", "日時";
    log_kind: "Kind", "種類";
    log_subject: "Subject", "対象";
    log_principal: "Principal", "実行者";
    log_outcome: "Outcome", "結果";
    log_segment: "Segment", "セグメント";
    log_undrained: "not yet in a segment", "未書き込み";
    more_tasks: "These are the first {n} tasks. The API lists all of them.", "最初の{n}件のタスクを表示しています。すべてのタスクはAPIで取得できます。";
    store_read_only: "This server can only read its store, so it knows no tasks, actions and webhooks.", "このサーバーはデータストアへの書き込み権限がないため、タスク、アクション、Webhookを表示できません。";
    hooks: "Webhooks", "Webhook";
    no_hooks: "No webhook has been compared with GitHub yet. A running github-metrics up with GITHUB_WEBHOOK_SECRET does so every 15 minutes. To check the webhooks now, run:", "GitHubと照合済みのWebhookはまだありません。GITHUB_WEBHOOK_SECRETを設定して github-metrics up を実行すると、15分ごとに照合します。今すぐ確認するには次を実行してください:";
    hook: "Webhook", "Webhook";
    hook_last: "Last delivery", "最後の配信";
    hook_delivery: "{x}, answer {s}, {t}", "{x}(応答 {s})、{t}";
    hook_problems: "What to do", "要対応";
    hook_checked: "Compared until", "照合済み";
    hook_gaps: "Deliveries that did not arrive", "届かなかった配信";
    hook_gaps_note: "What they were about has been read again.", "該当するデータはGitHubから再取得済みです。";
    no_hook_gaps: "Every delivery has arrived.", "届かなかった配信はありません。";
    hook_repos: "Repositories", "リポジトリ";
    hook_missed: "Events", "件数";
    hook_from: "From", "開始";
    hook_to: "Until", "終了";
    notifications: "Notifications", "通知";
    notifications_read_only: "This server sends no notifications.", "このサーバーは通知を送信しません。";
    no_channels: "No channel is configured, so nothing is sent. This shows how to add one:", "チャンネルが設定されていないため、通知は送信されません。設定方法を確認するには次を実行してください:";
    channels: "Channels", "チャンネル";
    channel: "Channel", "チャンネル";
    channel_state: "State", "状態";
    channel_works: "works", "正常";
    channel_paused: "paused until {t}", "{t}まで一時停止";
    channel_broken: "does not work: {x}", "送信不可: {x}";
    channel_retries: "is tried again: {x}", "再試行中: {x}";
    channel_waiting: "Waiting", "待機中";
    channel_last: "Last message", "最後の送信";
    notify_rules: "Rules", "ルール";
    no_notify_rules: "Without rules, every channel gets everything from warnings on.", "ルールがないため、警告以上のすべての通知がすべてのチャンネルに届きます。";
    notify_all: "all", "すべて";
    notify_kinds: "Kinds", "種類";
    messages: "Messages of the last 30 days", "過去30日間の通知";
    no_messages: "No message was sent or refused.", "送信または拒否された通知はありません。";
    message: "Message", "通知";
    message_sent: "sent", "送信済み";
    message_refused: "refused: {x}", "拒否: {x}";
    actions: "Actions", "アクション";
    no_actions: "No actions yet. They are requested with the API.", "アクションはまだありません。APIから実行を依頼できます。";
    no_actions_of_state: "No action is in this state.", "この状態のアクションはありません。";
    more_actions: "These are the newest {n} actions. The API lists all of them.", "最新の{n}件のアクションを表示しています。すべてのアクションはAPIで取得できます。";
    action: "Action", "アクション";
    action_create_issue: "Create an issue", "Issueの作成";
    action_create_comment: "Comment", "コメント";
    action_create_pr: "Create a pull request", "プルリクエストの作成";
    action_approve_merge_pr: "Approve and merge", "承認とマージ";
    action_requested_by: "Requested by", "依頼者";
    action_approve: "Approve", "承認";
    action_reject: "Reject", "却下";
    action_waits: "{n} approvals, until {t}", "承認 {n}、期限 {t}";
    action_title: "Title", "タイトル";
    action_head: "Head commit", "先頭コミット";
    action_state: "State", "状態";
    action_approvals: "Approvals", "承認";
    merge_request: "Request a merge", "マージを依頼";
    merge_number: "Pull request", "プルリクエスト番号";
    link_title: "Decide about an action", "アクションの承認";
    link_decides_as: "You decide as {x}.", "{x} として決定します。";
    link_approved: "Approved. You can close this page.", "承認しました。このページは閉じてかまいません。";
    link_rejected: "Rejected. You can close this page.", "却下しました。このページは閉じてかまいません。";
    link_changed: "The action has changed since this link was made. Ask for a new link.", "このリンクの作成後にアクションの内容が変わりました。新しいリンクを依頼してください。";
    link_nothing: "There is nothing to decide any more.", "決定は不要になりました。";
    actions_requested: "Requested", "受付済み";
    actions_waiting: "Waiting for approval", "承認待ち";
    actions_ready: "Waiting for their turn", "実行待ち";
    actions_attempting: "In work", "実行中";
    actions_checking: "Result is looked for", "結果を確認中";
    actions_succeeded: "Done", "完了";
    actions_failed: "Failed", "失敗";
    actions_unknown: "Unknown whether done", "結果不明";
    agents: "Agents", "エージェント";
    agents_empty: "No session in this range. Sessions are known of people who ingest the logs of their coding agents:", "この期間のセッションはありません。コーディングエージェントのログを取り込んだ人のセッションだけが分かります:";
    agents_known: "Sessions are known of {a} of {b} people who were active on GitHub. Of the others, none is known: all numbers are lower bounds.", "GitHubで活動した{b}人のうち{a}人のセッションが分かっています。他の人については不明なため、数値はすべて下限です。";
    agents_kept: "Sessions before {d} (UTC) were deleted, as the organization has configured. Nothing is known of them.", "組織の設定により、{d}（UTC）より前のセッションは削除されました。それらについては何も分かりません。";
    agents_unpriced: "No price is known of {x}. Their tokens are counted, and are not in the cost.", "{x}の価格は不明です。トークン数には含まれますが、費用には含まれません。";
    agents_no_model: "without a name", "名前なし";
    agents_use: "Use", "利用状況";
    agents_models: "Models", "モデル";
    agents_tools: "Tools that fail most", "失敗の多いツール";
    agents_rejections_note: "A call that a person refused is no error.", "人が拒否した呼び出しはエラーに含みません。";
    agents_cost_by_model: "Cost by model, in US dollars", "モデル別の費用(米ドル)";
    agents_cost_note: "List prices, not what a subscription pays.", "定価です。定額契約の支払額ではありません。";
    agent_sessions: "Sessions", "セッション";
    agent_active_hours: "Active time", "稼働時間";
    agent_session_hours: "Active time of a session, median", "セッションの稼働時間(中央値)";
    agent_prompts: "Prompts", "プロンプト";
    agent_responses: "Responses", "応答";
    agent_tokens_input: "Input tokens", "入力トークン";
    agent_tokens_output: "Output tokens", "出力トークン";
    agent_tokens_cache_read: "Tokens read from the cache", "キャッシュから読んだトークン";
    agent_tokens_cache_write: "Tokens written to the cache", "キャッシュに書いたトークン";
    agent_cost: "Cost at list price", "定価での費用";
    agent_unpriced_tokens: "Tokens without a price", "価格不明のトークン";
    agent_tool_calls: "Tool calls", "ツール呼び出し";
    agent_tool_errors: "Failed tool calls", "失敗したツール呼び出し";
    agent_tool_error_rate: "Share that failed", "失敗率";
    agent_tool_rejections: "Refused tool calls", "拒否されたツール呼び出し";
    agent_tool_rejection_rate: "Share that was refused", "拒否率";
    agent_members: "People with sessions", "セッションのある人";
    pr_classes: "Merged pull requests and sessions", "マージされたプルリクエストとセッション";
    pr_class: "Sessions", "セッション";
    pr_linked: "linked", "関連あり";
    pr_probable: "probable", "可能性あり";
    pr_unknown: "none known", "不明";
    pr_cost: "Cost, median (pull requests)", "費用の中央値(件数)";
    pr_classes_note: "Sessions are known of {a} of {b} merged pull requests, and of {m} of {n} active people. A pull request without a known session can have had one.", "マージされたプルリクエスト{b}件のうち{a}件、活動した{n}人のうち{m}人のセッションが分かっています。セッションが不明なプルリクエストでもエージェントが使われた可能性があります。";
    pr_rules: "Linked: a session names the pull request, or made the merged commit. Probable: a session worked on its branch within 21 days before the merge. These classes do not say why cycle times differ.", "関連あり: セッションがプルリクエストを示しているか、マージされたコミットを作成しました。可能性あり: マージ前21日以内に同じブランチで作業したセッションがあります。サイクルタイムの差の原因を示すものではありません。";
}

impl Words {
    /// Returns the texts of a language.
    pub(super) fn of(language: Language) -> &'static Words {
        match language {
            Language::English => &ENGLISH,
            Language::Japanese => &JAPANESE,
        }
    }
}

/// Returns a text with an English one in place of its placeholder `{x}`, marked as English.
pub(super) fn fill_english(text: &str, english: &str) -> Markup {
    let (before, after) = text.split_once("{x}").unwrap_or((text, ""));
    html! { (before) span lang="en" { (english) } (after) }
}

/// Replaces the placeholders of a text: `{name}` by the value of the name.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else { break };
        out.push_str(values.iter().find(|(it, _)| *it == name).map_or("", |(_, value)| value));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders(text: &str) -> Vec<&str> {
        let mut names: Vec<_> =
            text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn both_languages_have_the_same_placeholders() {
        assert!(ALL.len() > 100);
        for (name, english, japanese) in ALL {
            assert_eq!(placeholders(english), placeholders(japanese), "{name}");
            assert!(!english.is_empty() && !japanese.is_empty(), "{name}");
        }
    }

    #[test]
    fn placeholders_are_replaced_once() {
        assert_eq!(fill("{a} of {b}", &[("a", "{b}"), ("b", "2")]), "{b} of 2");
        assert_eq!(fill("none", &[("a", "1")]), "none");
    }
}
