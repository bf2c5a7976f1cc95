//! Answers to the GraphQL queries for counts and states.

use serde_json::{Value, json};

use super::graphql::{GraphQlRequest, GraphQlResult, history};
use super::lists::ConnectionEntry;
use super::objects;
use super::world::{Repo, Thread, Time};

impl GraphQlRequest<'_> {
    /// Answers a request about several repositories, by node id.
    fn answer_for_repos(&self, answer: impl Fn(&Repo) -> Result<Value, String>) -> GraphQlResult {
        self.nodes(|id| {
            let mut existing = self.world.repos.iter().filter(|repo| repo.exists(self.now));
            existing.find(|repo| objects::repo_node_id(repo) == id).map(&answer).transpose()
        })
    }

    /// Counts the commits of the requested span that are reachable from a commit.
    fn history_total(&self, repo: &Repo, oid: &str) -> Result<usize, String> {
        Ok(history(repo, oid, self.time("since")?, self.time("until")?).count())
    }

    pub(super) fn commit_counts(&self) -> GraphQlResult {
        self.answer_for_repos(|repo| {
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
        let (now, since) = (self.now, self.time("since")?);
        let state = |thread: &Thread| objects::state(thread, now);
        let is_recent = |issue: &&Thread| since.is_none_or(|since| issue.updated_at(now) >= since);
        self.answer_for_repos(|repo| {
            let pulls = repo.pulls.iter().map(|pull| &pull.thread).filter(|thread| thread.exists(now));
            let pulls: Vec<&str> = pulls.map(state).collect();
            let issues = repo.issues.iter().filter(|issue| issue.exists(now)).filter(is_recent);
            let issues: Vec<&str> = issues.map(state).collect();
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

    /// Counts the commits of histories up to the end dates in the document.
    pub(super) fn history_ends(&self) -> GraphQlResult {
        let mut counts = serde_json::Map::new();
        for part in self.document.split(":node(id:").collect::<Vec<_>>().windows(2) {
            let alias = part[0].rsplit(['{', '}', ' ']).next().unwrap_or_default();
            let value_after = |text: &str| part[1].split(text).nth(1).and_then(|rest| rest.split('"').next());
            let (id, oid) = (part[1].split('"').nth(1), value_after("oid:\"").unwrap_or_default());
            let until = value_after("until:\"")
                .map(|until| until.parse().map_err(|_| format!("{until} is not a time")));
            let mut existing = self.world.repos.iter().filter(|repo| repo.exists(self.now));
            let repo = existing.find(|repo| Some(objects::repo_node_id(repo).as_str()) == id);
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

    /// Counts the commits in each span of the document.
    pub(super) fn history_counts(&self) -> GraphQlResult {
        let oid = self.text("oid").unwrap_or_default();
        self.answer_for_repo(|repo| {
            if !repo.was_pushed(oid, self.now) {
                return Ok(json!({ "object": null }));
            }
            let mut counts = serde_json::Map::new();
            for part in self.document.split(":history(").collect::<Vec<_>>().windows(2) {
                let alias = part[0].rsplit(['{', ' ']).next().unwrap_or_default();
                let time = |name: &str| -> Result<Option<Time>, String> {
                    let text =
                        part[1].split(&format!("{name}:\"")).nth(1).and_then(|it| it.split('"').next());
                    text.map(|text| text.parse().map_err(|_| format!("{name} of {alias} is not a time")))
                        .transpose()
                };
                let total = history(repo, oid, time("since")?, time("until")?).count();
                counts.insert(alias.to_owned(), json!({ "totalCount": total }));
            }
            if counts.is_empty() {
                return Err("No history was requested.".to_owned());
            }
            Ok(json!({ "object": counts }))
        })
    }

    /// Returns a page of states.
    fn states(&self, field: &str, entries: Vec<ConnectionEntry>) -> Result<Value, String> {
        let mut list = self.list(field, "UPDATED_AT", entries)?;
        Ok(json!({ "list": list[field].take() }))
    }

    pub(super) fn pull_states(&self) -> GraphQlResult {
        self.answer_for_repo(|repo| {
            let existing = repo.pulls.iter().filter(|pull| pull.thread.exists(self.now));
            let entries = existing.map(|pull| ConnectionEntry {
                sort_key: (pull.updated_at(self.now).timestamp(), pull.thread.number),
                node: json!({
                    "id": objects::thread_node_id("PR", repo, &pull.thread),
                    "number": pull.thread.number,
                    "state": objects::state(&pull.thread, self.now),
                    "updatedAt": objects::timestamp(pull.updated_at(self.now)),
                    "reviews": { "totalCount": pull.reviews.iter().filter_map(|it| it.submitted(self.now)).count() },
                }),
            });
            self.states("pullRequests", entries.collect())
        })
    }

    pub(super) fn issue_states(&self) -> GraphQlResult {
        self.answer_for_repo(|repo| {
            let existing = repo.issues.iter().filter(|issue| issue.exists(self.now));
            let entries = existing.map(|issue| ConnectionEntry {
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

    /// Looks up the threads whose numbers are in the document.
    pub(super) fn threads_by_number(&self) -> GraphQlResult {
        let (mut threads, mut errors) = (serde_json::Map::new(), Vec::new());
        let Some(repo) = self.repo() else { return self.answer_for_repo(|_| Ok(Value::Null)) };
        for part in self.document.split("(number:").collect::<Vec<_>>().windows(2) {
            let (alias, field) =
                part[0].rsplit(['{', ' ']).next().and_then(|it| it.split_once(':')).unwrap_or_default();
            let number = part[1].split(')').next().and_then(|number| number.parse::<i64>().ok());
            let mut numbers: Vec<&Thread> = match field {
                "issue" => repo.issues.iter().collect(),
                _ => repo.pulls.iter().map(|pull| &pull.thread).collect(),
            };
            numbers.retain(|thread| thread.exists(self.now) && Some(thread.number) == number);
            if numbers.is_empty() {
                let message = format!("Could not resolve to the {field} with that number.");
                errors.push(json!({ "type": "NOT_FOUND", "path": ["node", alias], "message": message }));
            }
            let node = numbers.first().map(|thread| json!({ "number": thread.number }));
            threads.insert(alias.to_owned(), node.unwrap_or(Value::Null));
        }
        self.answer_for_repo(|_| Ok(Value::Object(threads)))
            .map(|(data, more)| (data, [errors, more].concat()))
    }

    /// Answers the permission check: the token can read everything but the world's forbidden fields.
    pub(super) fn permissions(&self) -> GraphQlResult {
        let repos = self.world.repos.iter().filter(|repo| repo.exists(self.now)).count();
        let errors = self.world.forbidden_fields.iter().map(|field| {
            let path = match *field {
                "membersWithRole" => json!(["organization", field]),
                field => json!(["organization", "repositories", "nodes", 0, field]),
            };
            json!({ "type": "FORBIDDEN", "path": path, "message": objects::NOT_ACCESSIBLE })
        });
        let with_members = self.variables["members"] == true;
        let errors: Vec<Value> =
            errors.filter(|error| with_members || error["path"][1] != "membersWithRole").collect();
        if errors.iter().any(|error| error["path"][1] == "membersWithRole") {
            // The field is not nullable, so its parent becomes null.
            return Ok((json!({ "organization": null }), errors));
        }
        let organization = json!({ "login": self.world.org, "repositories": { "totalCount": repos } });
        Ok((json!({ "organization": organization }), errors))
    }
}
