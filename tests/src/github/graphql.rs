//! The GraphQL API: answers the documents of the product, recognized by their operation names, from their
//! variables. It rejects anything else, as GitHub does.

use serde_json::{Map, Value, json};

use super::lists::{ConnectionEntry, connection, order_by, parse_cursor, requested_page_size, sorted};
use super::objects;
use super::world::{Commit, Repo, Thread, Time, World};

/// GitHub's message if it gives up counting a commit's lines.
const UNCOUNTED: &str = "The additions count for this commit is unavailable.";

/// A GraphQL request, and the world that answers it.
pub(super) struct GraphQlRequest<'a> {
    pub(super) world: &'a World,
    pub(super) now: Time,
    pub(super) document: &'a str,
    pub(super) variables: &'a Value,
}

/// Data and errors about parts of it, or the one error that leaves no data.
pub(super) type GraphQlResult = Result<(Value, Vec<Value>), String>;

/// Returns the commits of a history in a span of committer dates.
pub(super) fn history<'a>(
    repo: &'a Repo,
    oid: &str,
    since: Option<Time>,
    until: Option<Time>,
) -> impl Iterator<Item = &'a Commit> {
    let reachable = repo.ancestors_since(oid, since.unwrap_or(Time::MIN_UTC)).into_iter();
    let commits = reachable.map(|sha| &repo.commits[sha]);
    commits.filter(move |commit| until.is_none_or(|until| commit.committed_at <= until))
}

/// Returns the operation name of a document.
pub(super) fn operation(document: &str) -> &str {
    let rest = document.trim_start().strip_prefix("query ").unwrap_or_default();
    rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

fn not_found(path: &str, message: &str) -> Value {
    json!({ "type": "NOT_FOUND", "path": [path], "message": message })
}

impl<'a> GraphQlRequest<'a> {
    /// Returns the body of the answer.
    pub(super) fn answer(&self) -> Value {
        let result = match operation(self.document) {
            "Probe" => self.probe(),
            "ProbeById" => self.probe_by_id(),
            "Commits" => self.commits(),
            "CommitsByOid" => self.commits_by_oid(),
            "Members" => self.members(),
            "PullRequests" => self.pulls(),
            "PullRequestsBasic" => self.pulls().map(|answer| self.only_selected(answer)),
            "PullRequestRest" => self.pull_rest(),
            "Issues" => self.issues(),
            "IssuesBasic" => self.issues().map(|answer| self.only_selected(answer)),
            "IssueRest" => self.issue_rest(),
            "Releases" => self.releases(),
            "ReleasesBasic" => self.releases().map(|answer| self.only_selected(answer)),
            "Deployments" => self.deployments(),
            "DeploymentsBasic" => self.deployments().map(|answer| self.only_selected(answer)),
            "Permissions" => self.permissions(),
            "CommitCounts" => self.commit_counts(),
            "Totals" => self.totals(),
            "HistoryCounts" => self.history_counts(),
            "HistoryEnds" => self.history_ends(),
            "HistoryLight" => self.commits(),
            "PullRequestsLight" => self.pull_states(),
            "IssuesLight" => self.issue_states(),
            "ThreadsByNumber" => self.threads_by_number(),
            "PullRequestsById" => self.pulls_by_id(),
            "IssuesById" => self.issues_by_id(),
            "IssueRelations" => self.issue_relations(),
            "ClosedIssues" => Ok((json!({ "repository": { "pullRequest": null } }), Vec::new())),
            "ReleasesById" => self.releases_by_id(),
            "DeploymentsById" => self.deployments_by_id(),
            "DeploymentRest" => self.deployment_rest(),
            other => Err(format!("unknown operation {other:?}")),
        };
        match result {
            Ok((data, errors)) if errors.is_empty() => json!({ "data": data }),
            Ok((data, errors)) => json!({ "data": data, "errors": errors }),
            Err(message) => json!({ "errors": [{ "message": message }] }),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.variables[name].as_str()
    }

    /// Removes the fields of entries that the document does not name.
    fn only_selected(&self, (mut data, errors): (Value, Vec<Value>)) -> (Value, Vec<Value>) {
        for list in data["node"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            for node in list["nodes"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                node.retain(|field, _| self.document.contains(field.as_str()));
            }
        }
        (data, errors)
    }

    /// Returns the document, or for a basic query one that states page sizes of nested lists: they are removed later.
    fn full_document(&self) -> &str {
        if operation(self.document).ends_with("Basic") {
            " reviews(first: 1) timelineItems(first: 1) statuses(first: 1)"
        } else {
            self.document
        }
    }

    fn first(&self) -> Result<usize, String> {
        let first = self.variables["first"].as_u64().filter(|first| (1..=100).contains(first));
        first.map(|first| first as usize).ok_or_else(|| "`first` must be from 1 to 100.".to_owned())
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<Time>, String> {
        let parse = |text: &str| text.parse().map_err(|_| format!("Variable ${name} is not a time."));
        self.text(name).map(parse).transpose()
    }

    fn bool_variable(&self, name: &str) -> Result<bool, String> {
        self.variables[name]
            .as_bool()
            .ok_or_else(|| format!("Variable ${name} of type Boolean! was not given."))
    }

    pub(super) fn repo(&self) -> Option<&'a Repo> {
        let id = self.text("repo")?;
        self.world.repos.iter().find(|repo| objects::repo_node_id(repo) == id && repo.exists(self.now))
    }

    /// Answers a request about one repository. An unknown or blocked one gets GitHub's error.
    pub(super) fn answer_for_repo(
        &self,
        answer: impl FnOnce(&'a Repo) -> Result<Value, String>,
    ) -> GraphQlResult {
        match self.repo() {
            Some(repo) if repo.is_blocked => {
                let error =
                    json!({ "type": "FORBIDDEN", "path": ["node"], "message": "Repository access blocked" });
                Ok((json!({ "node": null }), vec![error]))
            }
            Some(repo) => Ok((json!({ "node": answer(repo)? }), Vec::new())),
            None => Ok((json!({ "node": null }), vec![not_found("node", "Could not resolve to a node")])),
        }
    }

    /// Returns the sort field of a list and whether the order is descending, from the document or a variable.
    fn order(&self, field: &str) -> Result<(String, bool), String> {
        let order = &self.variables["order"];
        let by_variable = || Some((order["field"].as_str()?.to_owned(), order["direction"] == "DESC"));
        order_by(self.document, field)
            .or_else(by_variable)
            .ok_or_else(|| format!("`{field}` is not ordered."))
    }

    /// Returns a page of pull requests or issues, in the requested order.
    fn threads(
        &self,
        field: &str,
        threads: impl Iterator<Item = Result<(&'a Thread, Time, Value), String>>,
    ) -> Result<Value, String> {
        let (by, _) = self.order(field)?;
        let entries = threads.map(|entry| {
            let (thread, changed, node) = entry?;
            let when = if by == "CREATED_AT" { thread.created_at } else { changed };
            Ok(ConnectionEntry { sort_key: (when.timestamp(), thread.number), node })
        });
        self.list(field, &by, entries.collect::<Result<_, String>>()?)
    }

    /// Returns a page of a list, in the requested direction. The sort field must be `by`.
    pub(super) fn list(&self, field: &str, by: &str, entries: Vec<ConnectionEntry>) -> Result<Value, String> {
        let (sort_field, descending) = self.order(field)?;
        if sort_field != by {
            return Err(format!("`{field}` is ordered by {by} here, not by {sort_field}."));
        }
        let entries = sorted(entries, descending);
        let page = connection(&entries, self.first()?, self.text("after"), descending)?;
        Ok(json!({ "ids": ids(&page, "id"), field: page }))
    }

    fn probe(&self) -> GraphQlResult {
        let (org, now) = (self.text("org").unwrap_or_default(), self.now);
        let mut others = self.world.other_orgs.iter();
        if let Some((login, id)) = others.find(|(login, _)| login.eq_ignore_ascii_case(org)) {
            let none = json!({ "pageInfo": { "hasNextPage": false, "endCursor": null }, "nodes": [] });
            let organization =
                json!({ "login": login, "databaseId": id, "repositories": none, "names": { "nodes": [] } });
            return Ok((json!({ "organization": organization }), Vec::new()));
        }
        if !org.eq_ignore_ascii_case(&self.world.org) {
            let message = format!("Could not resolve to an Organization with the login of '{org}'.");
            return Ok((json!({ "organization": null }), vec![not_found("organization", &message)]));
        }
        // Without the variable, all are listed.
        let fork = self.variables["fork"].as_bool();
        let listed = |repo: &&Repo| repo.exists(now) && fork.is_none_or(|fork| repo.is_fork == fork);
        let mut repos: Vec<&Repo> = self.world.repos.iter().filter(listed).collect();
        repos.sort_by_key(|repo| repo.name(now).to_lowercase());
        let entries: Vec<ConnectionEntry> = repos
            .iter()
            .enumerate()
            .map(|(index, _)| ConnectionEntry { sort_key: (index as i64, 0), node: index.into() })
            .collect();
        let mut page = connection(&entries, self.first()?, self.text("after"), false)?;
        let (mut names, mut errors) = (Vec::new(), Vec::new());
        let forbidden = self.world.forbidden_fields.iter().find(|field| **field != "membersWithRole");
        for (at, node) in page["nodes"].as_array_mut().into_iter().flatten().enumerate() {
            let repo = repos[node.as_u64().unwrap_or_default() as usize];
            names.push(json!({ "id": objects::repo_node_id(repo), "name": repo.name(now) }));
            // The field is not nullable, so its parent becomes null.
            *node = if forbidden.is_some() { Value::Null } else { probe_repo(self.world, repo, now) };
            errors.extend(forbidden.map(|field| {
                let path = json!(["organization", "repositories", "nodes", at, field]);
                json!({ "type": "FORBIDDEN", "path": path, "message": objects::NOT_ACCESSIBLE })
            }));
        }
        let mut organization = json!({
            "login": self.world.org,
            "databaseId": self.world.org_id,
            "repositories": page,
            "names": { "nodes": names },
        });
        if self.bool_variable("members")? {
            let size = requested_page_size(self.document, "membersWithRole");
            organization["membersWithRole"] =
                self.member_page(size.ok_or("`membersWithRole` has no `first`.")?, None)?;
        }
        Ok((json!({ "organization": organization }), errors))
    }

    fn member_page(&self, first: usize, after: Option<&str>) -> Result<Value, String> {
        let members = self.world.members.iter().enumerate();
        let entries: Vec<ConnectionEntry> = members
            .map(|(index, member)| ConnectionEntry {
                sort_key: (index as i64, 0),
                node: json!({ "login": member.login, "databaseId": member.id }),
            })
            .collect();
        connection(&entries, first, after, false)
    }

    fn members(&self) -> GraphQlResult {
        let page = self.member_page(self.first()?, self.text("after"))?;
        Ok((json!({ "organization": { "membersWithRole": page } }), Vec::new()))
    }

    fn probe_by_id(&self) -> GraphQlResult {
        let ids = self.variables["ids"].as_array().map(Vec::as_slice).unwrap_or_default();
        let find_repo = |id: &Value| {
            let mut repos = self.world.repos.iter().filter(|repo| repo.exists(self.now));
            repos.find(|repo| objects::repo_node_id(repo) == *id)
        };
        let node = |id| find_repo(id).map_or(Value::Null, |repo| probe_repo(self.world, repo, self.now));
        let missing = ids.iter().filter(|id| find_repo(id).is_none());
        let errors = missing.map(|id| {
            not_found("nodes", &format!("Could not resolve to a node with the global id of {id}."))
        });
        Ok((json!({ "nodes": ids.iter().map(node).collect::<Vec<_>>() }), errors.collect()))
    }

    fn commits(&self) -> GraphQlResult {
        let with_lines = self.variables["lines"] == true;
        let (oid, now) = (self.text("oid").unwrap_or_default(), self.now);
        let (since, until) = (self.time("since")?, self.time("until")?);
        let Some(repo) = self.repo() else { return self.answer_for_repo(|_| Ok(Value::Null)) };
        if !repo.was_pushed(oid, now) {
            return Ok((json!({ "node": { "object": null } }), Vec::new()));
        }
        let mut commits: Vec<_> = history(repo, oid, since, until).collect();
        commits.sort_by(|a, b| (b.committed_at, &b.sha).cmp(&(a.committed_at, &a.sha)));
        let entries: Vec<ConnectionEntry> = commits
            .iter()
            .enumerate()
            .map(|(index, commit)| ConnectionEntry {
                sort_key: (index as i64, 0),
                node: objects::commit(commit, with_lines, now),
            })
            .collect();
        let mut page = connection(&entries, self.first()?, self.text("after"), false)?;
        let mut object = json!({});
        if self.variables["total"] == true {
            page["totalCount"] = entries.len().into();
            for (name, end) in [("upTo", until), ("before", self.time("before")?)] {
                object[name] = json!({ "totalCount": history(repo, oid, None, end).count() });
            }
        }
        let ids = ids(&page, "oid");
        let mut errors = Vec::new();
        if with_lines {
            for (at, node) in page["nodes"].as_array_mut().into_iter().flatten().enumerate() {
                let oid = node["oid"].as_str().unwrap_or_default();
                if repo.commits[oid].line_counts(now).is_none() {
                    *node = Value::Null;
                    let path = json!(["node", "object", "history", "nodes", at, "additions"]);
                    errors.push(json!({ "message": UNCOUNTED, "path": path }));
                }
            }
        }
        (object["history"], object["ids"]) = (page, ids);
        Ok((json!({ "node": { "object": object } }), errors))
    }

    fn commits_by_oid(&self) -> GraphQlResult {
        let Some(repo) = self.repo() else { return self.answer_for_repo(|_| Ok(Value::Null)) };
        let with_lines = self.variables["lines"] == true;
        let (mut objects, mut errors) = (Map::new(), Vec::new());
        for part in self.document.split(":object(oid:\"").collect::<Vec<_>>().windows(2) {
            let alias = part[0].rsplit(['{', ' ']).next().unwrap_or_default();
            let oid = part[1].split('"').next().unwrap_or_default();
            let commit = repo.commits.get(oid).filter(|_| repo.was_pushed(oid, self.now));
            let node = match commit {
                Some(commit) if with_lines && commit.line_counts(self.now).is_none() => {
                    errors.push(json!({ "message": UNCOUNTED, "path": ["node", alias, "additions"] }));
                    Value::Null
                }
                Some(commit) => objects::commit(commit, with_lines, self.now),
                None => Value::Null,
            };
            objects.insert(alias.to_owned(), node);
        }
        if objects.is_empty() || objects.len() > 100 {
            return Err(format!("{} objects were requested.", objects.len()));
        }
        Ok((json!({ "node": objects }), errors))
    }

    /// Returns whether GitHub has listed as many releases as it lists before the requested page.
    pub(super) fn is_past_release_limit(&self) -> bool {
        let Some(limit) =
            self.world.release_limit.filter(|_| operation(self.document).starts_with("Releases"))
        else {
            return false;
        };
        let Some(after) = self.text("after").and_then(|cursor| parse_cursor(cursor).ok()) else {
            return false;
        };
        let listed = self.repo().into_iter().flat_map(|repo| &repo.releases);
        let keys = listed.map(|release| (release.created_at.timestamp(), release.id));
        keys.filter(|key| *key >= after).count() >= limit
    }

    fn pulls(&self) -> GraphQlResult {
        self.answer_for_repo(|repo| {
            let opened = repo.pulls.iter().filter(|pull| pull.thread.created_at <= self.now);
            let threads = opened.map(|pull| {
                let node = objects::pull(repo, pull, self.full_document(), self.now)?;
                Ok((&pull.thread, pull.updated_at(self.now), node))
            });
            self.threads("pullRequests", threads)
        })
    }

    fn pull_rest(&self) -> GraphQlResult {
        let (reviews, closings) = (self.bool_variable("reviews")?, self.bool_variable("closings")?);
        let result = self.answer_for_repo(|repo| {
            let number = self.variables["number"].as_i64();
            let Some(pull) = repo.pulls.iter().find(|pull| Some(pull.thread.number) == number) else {
                return Ok(json!({ "pullRequest": null }));
            };
            let mut node = json!({});
            if reviews {
                node["reviews"] = objects::reviews(pull, self.now, 100, self.text("reviewsAfter"))?;
            }
            if closings {
                node["timelineItems"] =
                    objects::closings(&pull.thread, self.now, 100, self.text("closingsAfter"))?;
            }
            Ok(json!({ "pullRequest": node }))
        });
        with_missing_error(result, "pullRequest")
    }

    fn issues(&self) -> GraphQlResult {
        let since = self.time("since")?;
        self.answer_for_repo(|repo| {
            let opened = repo.issues.iter().filter(|issue| issue.created_at <= self.now);
            let changed =
                opened.filter(|issue| since.is_none_or(|since| issue.updated_at(self.now) >= since));
            let threads = changed.map(|issue| {
                let node = objects::issue(repo, issue, self.full_document(), self.now)?;
                Ok((issue, issue.updated_at(self.now), node))
            });
            self.threads("issues", threads)
        })
    }

    fn issue_rest(&self) -> GraphQlResult {
        let result = self.answer_for_repo(|repo| {
            let number = self.variables["number"].as_i64();
            let issue = repo.issues.iter().find(|issue| Some(issue.number) == number);
            let closings = |issue| objects::closings(issue, self.now, 100, self.text("closingsAfter"));
            let node = issue.map(|issue| Ok::<_, String>(json!({ "timelineItems": closings(issue)? })));
            Ok(json!({ "issue": node.transpose()? }))
        });
        with_missing_error(result, "issue")
    }

    fn releases(&self) -> GraphQlResult {
        self.answer_for_repo(|repo| {
            let existing = repo.releases.iter().filter(|release| release.exists(self.now));
            let entries = existing.map(|release| ConnectionEntry {
                sort_key: (release.created_at.timestamp(), release.id),
                node: objects::release(release, self.now),
            });
            self.list("releases", "CREATED_AT", entries.collect())
        })
    }

    fn deployments(&self) -> GraphQlResult {
        self.answer_for_repo(|repo| {
            let existing = repo.deployments.iter().filter(|deployment| deployment.created_at <= self.now);
            let entries = existing.map(|deployment| {
                let sort_key = (deployment.created_at.timestamp(), deployment.id);
                Ok(ConnectionEntry {
                    sort_key,
                    node: objects::deployment(deployment, self.full_document(), self.now)?,
                })
            });
            self.list("deployments", "CREATED_AT", entries.collect::<Result<_, String>>()?)
        })
    }

    fn deployment(&self, node_id: &str) -> Option<&'a super::world::Deployment> {
        let id: i64 = node_id.strip_prefix("DE_")?.parse().ok()?;
        let all = self.world.repos.iter().flat_map(|repo| &repo.deployments);
        all.into_iter().find(|deployment| deployment.id == id && deployment.created_at <= self.now)
    }

    /// Returns the nodes of the requested ids, and an error for each id without one.
    pub(super) fn nodes(&self, find: impl Fn(&str) -> Result<Option<Value>, String>) -> GraphQlResult {
        let ids = self.variables["ids"].as_array().map(Vec::as_slice).unwrap_or_default();
        if ids.len() > 100 {
            return Err("You may not provide more than 100 node ids.".to_owned());
        }
        let (mut nodes, mut errors) = (Vec::new(), Vec::new());
        for id in ids {
            let node = find(id.as_str().unwrap_or_default())?;
            if node.is_none() {
                errors.push(not_found(
                    "nodes",
                    &format!("Could not resolve to a node with the global id of {id}"),
                ));
            }
            nodes.push(node.unwrap_or(Value::Null));
        }
        Ok((json!({ "nodes": nodes }), errors))
    }

    fn pulls_by_id(&self) -> GraphQlResult {
        self.nodes(|id| {
            let all = self.world.repos.iter().flat_map(|repo| repo.pulls.iter().map(move |it| (repo, it)));
            let mut existing = all.filter(|(_, pull)| pull.thread.created_at <= self.now);
            let entry = existing.find(|(repo, pull)| objects::thread_node_id("PR", repo, &pull.thread) == id);
            entry.map(|(repo, pull)| objects::pull(repo, pull, self.document, self.now)).transpose()
        })
    }

    fn issues_by_id(&self) -> GraphQlResult {
        self.nodes(|id| {
            let all = self.world.repos.iter().flat_map(|repo| repo.issues.iter().map(move |it| (repo, it)));
            let mut existing = all.filter(|(_, issue)| issue.created_at <= self.now);
            let entry = existing.find(|(repo, issue)| objects::thread_node_id("I", repo, issue) == id);
            entry.map(|(repo, issue)| objects::issue(repo, issue, self.document, self.now)).transpose()
        })
    }

    /// Returns what belongs to issues: nothing but their ids.
    fn issue_relations(&self) -> GraphQlResult {
        self.nodes(|id| {
            let all = self.world.repos.iter().flat_map(|repo| repo.issues.iter().map(move |it| (repo, it)));
            let mut existing = all.filter(|(_, issue)| issue.exists(self.now));
            let is_known = existing.any(|(repo, issue)| objects::thread_node_id("I", repo, issue) == id);
            let none = json!({ "nodes": [] });
            Ok(is_known.then(|| {
                json!({
                    "id": id, "lastEditedAt": null, "closedByPullRequestsReferences": none, "labelEvents": none,
                    "renames": none,
                })
            }))
        })
    }

    fn deployments_by_id(&self) -> GraphQlResult {
        self.nodes(|id| {
            let deployment = self.deployment(id);
            deployment.map(|deployment| objects::deployment(deployment, self.document, self.now)).transpose()
        })
    }

    fn releases_by_id(&self) -> GraphQlResult {
        self.nodes(|id| {
            let mut all = self.world.repos.iter().flat_map(|repo| &repo.releases);
            let release = all.find(|it| objects::release_node_id(it) == id && it.exists(self.now));
            Ok(release.map(|release| objects::release(release, self.now)))
        })
    }

    fn deployment_rest(&self) -> GraphQlResult {
        let deployment = self.deployment(self.text("id").unwrap_or_default());
        let statuses = |deployment| objects::statuses(deployment, self.now, 100, self.text("after"));
        let node = deployment.map(|deployment| Ok::<_, String>(json!({ "statuses": statuses(deployment)? })));
        Ok((json!({ "node": node.transpose()? }), Vec::new()))
    }
}

/// Adds an error if the repository exists but the requested part of it does not.
fn with_missing_error(result: GraphQlResult, field: &str) -> GraphQlResult {
    let (data, mut errors) = result?;
    if data["node"].is_object() && data["node"][field].is_null() {
        let message = format!("Could not resolve to the {field} with that number.");
        errors.push(json!({ "type": "NOT_FOUND", "path": ["node", field], "message": message }));
    }
    Ok((data, errors))
}

/// Returns the ids of a page's entries.
fn ids(page: &Value, name: &str) -> Value {
    let nodes = page["nodes"].as_array().into_iter().flatten();
    json!({ "nodes": nodes.map(|node| json!({ name: node[name] })).collect::<Vec<_>>() })
}

/// Returns a repository as the probe reads it.
fn probe_repo(world: &World, repo: &Repo, now: Time) -> Value {
    let newest_of = |times: Vec<(Time, Value)>| {
        let total = times.len();
        let newest = times.into_iter().max_by_key(|(when, _)| *when).map(|(_, node)| node);
        json!({ "totalCount": total, "nodes": newest.into_iter().collect::<Vec<_>>() })
    };
    let changed = |when: Time| (when, json!({ "updatedAt": objects::timestamp(when) }));
    let pulls = repo.pulls.iter().filter(|pull| pull.thread.created_at <= now);
    let issues = repo.issues.iter().filter(|issue| issue.created_at <= now);
    let releases = repo.releases.iter().filter(|release| release.exists(now));
    let deployments = repo.deployments.iter().filter(|deployment| deployment.created_at <= now);
    json!({
        "owner": { "login": world.org },
        "id": objects::repo_node_id(repo),
        "databaseId": repo.id,
        "name": repo.name(now),
        "isArchived": repo.is_archived,
        "pushedAt": repo.pushed_at(now).map(objects::timestamp),
        "defaultBranchRef": repo.tip(now).map(|tip| json!({ "name": "main", "target": { "oid": tip } })),
        "pullRequests": newest_of(pulls.map(|pull| changed(pull.updated_at(now))).collect()),
        "issues": newest_of(issues.map(|issue| changed(issue.updated_at(now))).collect()),
        "releases": newest_of(releases.map(|it| {
            let node = json!({ "databaseId": it.id, "updatedAt": objects::timestamp(it.updated_at(now)) });
            (it.created_at, node)
        }).collect()),
        "deployments": newest_of(deployments.map(|it| {
            let node = json!({ "databaseId": it.id, "createdAt": objects::timestamp(it.created_at) });
            (it.created_at, node)
        }).collect()),
    })
}
