//! Counts and states: the questions that ask for little about much.

use serde_json::{Value, json};

use super::graphql::{GraphQlRequest, GraphQlResult, history};
use super::lists::ConnectionEntry;
use super::objects;
use super::world::{Repo, Thread, Time};

impl GraphQlRequest<'_> {
    /// Answers about repositories by node id.
    fn of_repos(&self, answer: impl Fn(&Repo) -> Result<Value, String>) -> GraphQlResult {
        self.nodes(|id| {
            let mut there = self.world.repos.iter().filter(|repo| repo.exists(self.now));
            there.find(|repo| objects::repo_node_id(repo) == id).map(&answer).transpose()
        })
    }

    /// How many commits of the span are reachable from a commit.
    fn history_total(&self, repo: &Repo, oid: &str) -> Result<usize, String> {
        Ok(history(repo, oid, self.time("since")?, self.time("until")?).count())
    }

    pub(super) fn commit_counts(&self) -> GraphQlResult {
        self.of_repos(|repo| {
            let branch = match repo.tip(self.now) {
                None => Value::Null,
                Some(tip) => {
                    json!({ "target": { "history": { "totalCount": self.history_total(repo, tip)? } } })
                }
            };
            Ok(json!({ "id": objects::repo_node_id(repo), "defaultBranchRef": branch }))
        })
    }

    pub(super) fn totals(&self) -> GraphQlResult {
        let now = self.now;
        let state = |thread: &Thread| objects::state(thread, now);
        self.of_repos(|repo| {
            let pulls = repo.pulls.iter().map(|pull| &pull.thread).filter(|thread| thread.exists(now));
            let pulls: Vec<&str> = pulls.map(state).collect();
            let issues: Vec<&str> = repo.issues.iter().filter(|issue| issue.exists(now)).map(state).collect();
            let total =
                |all: &[&str], state| json!({ "totalCount": all.iter().filter(|it| **it == state).count() });
            Ok(json!({
                "id": objects::repo_node_id(repo),
                "pullsOpen": total(&pulls, "OPEN"),
                "pullsClosed": total(&pulls, "CLOSED"),
                "pullsMerged": total(&pulls, "MERGED"),
                "issuesOpen": total(&issues, "OPEN"),
                "issuesClosed": total(&issues, "CLOSED"),
            }))
        })
    }

    /// How many commits there are up to the ends of histories, which stand in the document.
    pub(super) fn history_ends(&self) -> GraphQlResult {
        let mut counts = serde_json::Map::new();
        for part in self.document.split(":node(id:").collect::<Vec<_>>().windows(2) {
            let alias = part[0].rsplit(['{', '}', ' ']).next().unwrap_or_default();
            let after = |text: &str| part[1].split(text).nth(1).and_then(|rest| rest.split('"').next());
            let (id, oid) = (part[1].split('"').nth(1), after("oid:\"").unwrap_or_default());
            let until =
                after("until:\"").map(|until| until.parse().map_err(|_| format!("{until} is no time")));
            let mut there = self.world.repos.iter().filter(|repo| repo.exists(self.now));
            let repo = there.find(|repo| Some(objects::repo_node_id(repo).as_str()) == id);
            let object = match repo.filter(|repo| repo.was_pushed(oid, self.now)) {
                None => Value::Null,
                Some(repo) => {
                    let total = history(repo, oid, None, until.transpose()?).count();
                    json!({ "history": { "totalCount": total } })
                }
            };
            counts.insert(alias.to_owned(), json!({ "object": object }));
        }
        Ok((Value::Object(counts), Vec::new()))
    }

    /// How many commits there are in each of some spans, which stand in the document.
    pub(super) fn history_counts(&self) -> GraphQlResult {
        let oid = self.text("oid").unwrap_or_default();
        self.of_repo(|repo| {
            if !repo.was_pushed(oid, self.now) {
                return Ok(json!({ "object": null }));
            }
            let mut counts = serde_json::Map::new();
            for part in self.document.split(":history(").collect::<Vec<_>>().windows(2) {
                let alias = part[0].rsplit(['{', ' ']).next().unwrap_or_default();
                let time = |name: &str| -> Result<Option<Time>, String> {
                    let text =
                        part[1].split(&format!("{name}:\"")).nth(1).and_then(|it| it.split('"').next());
                    text.map(|text| text.parse().map_err(|_| format!("{name} of {alias} is no time")))
                        .transpose()
                };
                let total = history(repo, oid, time("since")?, time("until")?).count();
                counts.insert(alias.to_owned(), json!({ "totalCount": total }));
            }
            if counts.is_empty() {
                return Err("No history was asked for.".to_owned());
            }
            Ok(json!({ "object": counts }))
        })
    }

    /// A list of states only.
    fn states(&self, field: &str, entries: Vec<ConnectionEntry>) -> Result<Value, String> {
        let mut list = self.list(field, "UPDATED_AT", entries)?;
        Ok(json!({ "list": list[field].take() }))
    }

    pub(super) fn pull_states(&self) -> GraphQlResult {
        self.of_repo(|repo| {
            let there = repo.pulls.iter().filter(|pull| pull.thread.exists(self.now));
            let entries = there.map(|pull| ConnectionEntry {
                sort_key: (pull.updated_at(self.now).timestamp(), pull.thread.number),
                node: json!({
                    "id": objects::thread_node_id("PR", repo, &pull.thread),
                    "number": pull.thread.number,
                    "state": objects::state(&pull.thread, self.now),
                    "updatedAt": objects::timestamp(pull.updated_at(self.now)),
                }),
            });
            self.states("pullRequests", entries.collect())
        })
    }

    pub(super) fn issue_states(&self) -> GraphQlResult {
        self.of_repo(|repo| {
            let there = repo.issues.iter().filter(|issue| issue.exists(self.now));
            let entries = there.map(|issue| ConnectionEntry {
                sort_key: (issue.updated_at(self.now).timestamp(), issue.number),
                node: json!({
                    "id": objects::thread_node_id("I", repo, issue),
                    "number": issue.number,
                    "state": objects::state(issue, self.now),
                    "updatedAt": objects::timestamp(issue.updated_at(self.now)),
                }),
            });
            self.states("issues", entries.collect())
        })
    }

    /// What the token may read: everything, but what the world says it may not.
    pub(super) fn permissions(&self) -> GraphQlResult {
        let repos = self.world.repos.iter().filter(|repo| repo.exists(self.now)).count();
        let refused = self.world.refused_fields.iter().map(|field| {
            let path = match *field {
                "membersWithRole" => json!(["organization", field]),
                field => json!(["organization", "repositories", "nodes", 0, field]),
            };
            json!({ "type": "FORBIDDEN", "path": path, "message": objects::NOT_ACCESSIBLE })
        });
        let members = self.variables["members"] == true;
        let refused: Vec<Value> =
            refused.filter(|error| members || error["path"][1] != "membersWithRole").collect();
        if refused.iter().any(|error| error["path"][1] == "membersWithRole") {
            // A field that cannot be null leaves nothing of what it is a field of.
            return Ok((json!({ "organization": null }), refused));
        }
        let organization = json!({ "login": self.world.org, "repositories": { "totalCount": repos } });
        Ok((json!({ "organization": organization }), refused))
    }
}
