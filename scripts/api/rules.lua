--- The rules that are live, and what analysts and operators do to them: try a version out, promote it, switch one off.

local busy = require "lib.busy"

local function role()
  return { type = "string", enum = { "live", "candidate" }, default = "live",
    doc = "the version that judges, or the one on trial beside it" }
end
local ID = { type = "string", max_length = 64, required = true }
local OBJECT = { type = "object" }
local GONE = "no such rule; the nearest name is given"
local WRONG = "not from the state it is in, which is given"

endpoint {
  method = "GET", path = "/api/v1/ruleset", auth = "viewer",
  summary = "digest and versions of the rules that judge now",
  description = "Candidates are among the rules, with role candidate. `warm` is false while state of a rule is still "
    .. "being made from history; such a rule does not judge yet.",
  responses = { [200] = { description = "digest, since, warm, rules", schema = OBJECT } },
  handler = function() return reply_raw(200, engine.ruleset()) end,
}

endpoint {
  method = "GET", path = "/api/v1/rules", auth = "viewer",
  summary = "the rules: metadata, status, warm or not, counts, cost, state",
  params = { status = { type = "string",
    enum = { "live", "shadow", "candidate", "warming", "quarantined", "disabled" } } },
  responses = { [200] = { description = "items", schema = OBJECT } },
  handler = function(req)
    local set = json.decode(engine.ruleset())
    local items = json.array {}
    for _, rule in ipairs(set and set.rules or {}) do
      if not req.params.status or rule.status == req.params.status then items[#items + 1] = rule end
    end
    return reply(200, { items = items, next = json.null })
  end,
}

endpoint {
  method = "GET", path = "/api/v1/rules/{id}", auth = "viewer",
  summary = "one rule, and its candidate if it has one",
  params = { id = ID },
  responses = { [200] = { description = "the rule; candidate is an object or null", schema = OBJECT }, [404] = GONE },
  handler = function(req)
    local candidate = engine.rule(req.params.id, true)
    local live, err = engine.rule(req.params.id, false)
    if not live and not candidate then return problem(err) end
    local rule = json.decode(live or candidate)
    rule.candidate = live and candidate and json.decode(candidate) or json.null
    return reply(200, rule)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/rules/{id}/source", auth = "analyst",
  summary = "the text of a rule as it runs",
  params = { id = ID, role = role() },
  responses = { [200] = { description = "Lua", content = "text/plain", schema = { type = "string" } }, [404] = GONE },
  handler = function(req)
    local text, err = engine.rule(req.params.id, req.params.role == "candidate")
    if not text then return problem(err) end
    local version, why = db.model_versions:get { id = json.decode(text).model_version_id }
    if not version then return problem(why) end
    return reply_text(200, "text/plain; charset=utf-8", version.source or "")
  end,
}

-- --- switching --------------------------------------------------------------------------------------------------

local function user_id(req) return req.user and req.user.id > 0 and req.user.id or nil end

local STATUS = { enable = "enabled", release = "enabled", disable = "disabled", quarantine = "quarantined" }

local function switch(req, what)
  local id, candidate = req.params.id, req.params.role == "candidate"
  local was, err = engine.may_switch_rule(id, candidate, what)
  if not was then return problem(err) end
  local reason = req.params.reason or (STATUS[what] ~= "enabled" and "by an operator" or "")
  local ok, why = db.transaction(function()
    local row, refused = db.rule_states:set {
      rule = id, role = req.params.role, status = STATUS[what], reason = reason, faults = was.faults,
      sha256 = what == "quarantine" and was.sha256 or "", changed_by = user_id(req),
    }
    if not row then return nil, refused end
    return db.audit_logs:append {
      event_type = "rule." .. what, resource = "rule:" .. id, action = what,
      details = { rule = id, role = req.params.role, version = was.version, sha256 = was.sha256, was = was.status,
        reason = reason },
    }
  end)
  if not ok then return problem(why) end
  engine.switch_rule(id, candidate, what, reason)
  log.info("rule switched", { rule = id, role = req.params.role, what = what })
  local rule, gone = engine.rule(id, candidate)
  if not rule then return problem(gone) end
  return reply_raw(200, rule)
end

local function switch_endpoint(what, summary)
  endpoint {
    method = "POST", path = "/api/v1/rules/{id}/" .. what, auth = "operator", summary = summary,
    params = { id = ID, role = role(), reason = { type = "string", max_length = 150, doc = "kept and audited" } },
    responses = { [200] = { description = "the rule as it is now", schema = OBJECT }, [404] = GONE, [409] = WRONG },
    handler = function(req) return switch(req, what) end,
  }
end

switch_endpoint("disable", "take a rule out at once, whatever its version")
switch_endpoint("enable", "let a rule judge again, out of quarantine too; what it missed it is given first")
switch_endpoint("quarantine", "take this version of a rule out; another version is not affected")
switch_endpoint("release", "let a rule out of quarantine")

-- --- candidates -------------------------------------------------------------------------------------------------

--- The engine has done it; now it is written down, or undone.
local function keep(done, write)
  local ok, err = db.transaction(write)
  if ok then return reply(200, done) end
  engine.call("reload")
  return problem(err)
end

--- A candidate that is a file has no row.
local function drop_candidate(id)
  local row, err = db.rule_sources:delete { rule = id, role = "candidate" }
  if err and err.code ~= "not_found" then return nil, err end
  return row or true
end

local function refused(err)
  if err.code == "busy" or err.status == 503 or err.status == 409 or err.status == 404 then return busy(err) end
  return problem(422, "rule_refused", err.message)
end

local function submit(req, id)
  local answer, err = engine.call("rules.submit", json.encode { rule = id, source = req.body })
  if not answer then return refused(err) end
  local done = json.decode(answer)
  done.source, done.replaces = nil, nil
  return keep(done, function()
    local row, why = db.rule_sources:put { rule = id, role = "candidate", sha256 = done.sha256, source = req.body,
      created_by = user_id(req) }
    if not row then return nil, why end
    return db.audit_logs:append { event_type = "rule.submit", resource = "rule:" .. id, action = "submit",
      details = { rule = id, version = done.version, sha256 = done.sha256 } }
  end)
end

local SUBMITTED = {
  [200] = { description = "rule, version, sha256, status: it runs beside the live one", schema = OBJECT },
  [409] = "this very version is there already",
  [422] = "something is wrong with it: line and reason; nothing has changed", [429] = "a reload is under way",
}
local TEXT = { content = { "text/plain" }, raw = true, required = true, schema = { type = "string" } }

endpoint {
  method = "PUT", path = "/api/v1/rules/{id}/candidate", auth = "analyst",
  summary = "try a version of a rule on live traffic, in shadow",
  description = "The body is the text of the rule. It is checked and its tests run first; then it judges beside the "
    .. "live version, with state of its own that is made from history, and its alerts are kept apart and never "
    .. "published.",
  params = { id = ID }, body = TEXT, responses = SUBMITTED,
  handler = function(req) return submit(req, req.params.id) end,
}

endpoint {
  method = "POST", path = "/api/v1/rules/candidates", auth = "analyst",
  summary = "the same, for whichever rule the text declares",
  body = TEXT, responses = SUBMITTED,
  handler = function(req)
    local id
    for name in req.body:gmatch("[%s{,]id%s*=%s*[\"']([%w._-]+)[\"']") do id = id or name end
    if not id then return problem(422, "rule_refused", "the text declares no rule: id = \"...\" is missing") end
    return submit(req, id)
  end,
}

endpoint {
  method = "DELETE", path = "/api/v1/rules/{id}/candidate", auth = "analyst",
  summary = "end a trial",
  params = { id = ID },
  responses = { [200] = { description = "done", schema = OBJECT }, [404] = GONE,
    [409] = "it has no candidate, or that is a file", [503] = "a reload is under way" },
  handler = function(req)
    local id = req.params.id
    local answer, err = engine.call("rules.withdraw", json.encode { rule = id })
    if not answer then return refused(err) end
    local done = json.decode(answer)
    return keep({ rule = id, message = done.message }, function()
      local gone, why = drop_candidate(id)
      if not gone then return nil, why end
      return db.audit_logs:append { event_type = "rule.withdraw", resource = "rule:" .. id, action = "withdraw" }
    end)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/rules/{id}/promote", auth = "operator",
  summary = "the candidate becomes the live version, with the state that it has",
  params = { id = ID, force = { type = "boolean", default = false, doc = "though it is warming still" } },
  responses = { [200] = { description = "rule, version, sha256, status", schema = OBJECT }, [404] = GONE,
    [409] = "it has no candidate, or that one is not fit: which state it is in", [503] = "a reload is under way" },
  handler = function(req)
    local id = req.params.id
    local answer, err = engine.call("rules.promote", json.encode { rule = id, force = req.params.force })
    if not answer then return refused(err) end
    local done = json.decode(answer)
    local source = done.source
    done.source = nil
    return keep(done, function()
      local gone, why = drop_candidate(id)
      if not gone then return nil, why end
      local row, refusal = db.rule_sources:put { rule = id, role = "promoted", sha256 = done.sha256, source = source,
        replaces = done.replaces, created_by = user_id(req) }
      if not row then return nil, refusal end
      return db.audit_logs:append { event_type = "rule.promote", resource = "rule:" .. id, action = "promote",
        details = { rule = id, version = done.version, sha256 = done.sha256, replaces = done.replaces,
          forced = req.params.force } }
    end)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/rules/{id}/diff", auth = "analyst",
  summary = "what the candidate says and the live version does not, and the other way round",
  params = { id = ID, since = { type = "time", doc = "alerts of this time or later; else since the trial is warm" },
    limit = { type = "integer", min = 1, max = 1000, default = 100, doc = "alerts that are listed one by one" } },
  responses = { [200] = { description = "counts, entities, alerts, cost", schema = OBJECT }, [404] = GONE,
    [409] = "it has no candidate" },
  handler = function(req)
    local answer, err = engine.call("rules.diff", json.encode { rule = req.params.id, since = req.params.since,
      limit = req.params.limit })
    if not answer then return problem(err) end
    return reply_raw(200, answer)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/rules/alarms", auth = "viewer",
  summary = "rules that fell silent or flooded",
  params = { rule = { type = "string", max_length = 64 }, kind = { type = "string", enum = { "silent", "flood" } },
    open = { type = "boolean", doc = "true: those that are not over" },
    limit = { type = "integer", min = 1, max = 1000, default = 50 }, cursor = { type = "string", max_length = 512 } },
  responses = { [200] = { description = "a page, newest first", schema = OBJECT } },
  handler = function(req)
    local page, err = db.rule_alarms:list_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/admin/reload", auth = "operator",
  summary = "take new rules, lists, scripts and settings: all or nothing",
  responses = {
    [200] = { description = "what is live now, and what of it is new", schema = OBJECT },
    [422] = "something is wrong: file, line and reason; nothing has changed", [503] = "a reload is under way",
  },
  handler = function()
    local answer, err = engine.call("reload")
    local _, why = db.audit_logs:append { event_type = "rules.reload", resource = "ruleset", action = "reload",
      status = answer and "success" or "failure", details = answer and json.decode(answer) or { error = err.message } }
    if why then log.error("a reload could not be audited", { error = why.message }) end
    if answer then return reply_raw(200, answer) end
    if err.status == 503 then return busy(err) end
    return problem(422, "reload_refused", err.message)
  end,
}
