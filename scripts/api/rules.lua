--- The rules that are live, and what operators do to them.

endpoint {
  method = "GET", path = "/api/v1/ruleset", auth = "viewer",
  summary = "digest and versions of the rules that judge now",
  responses = { [200] = { description = "digest, since, rules", schema = { type = "object" } } },
  handler = function() return reply_raw(200, engine.ruleset()) end,
}

endpoint {
  method = "GET", path = "/api/v1/rules", auth = "viewer",
  summary = "the live rules: metadata, status, counts",
  responses = { [200] = { description = "items", schema = { type = "object" } } },
  handler = function()
    local set = json.decode(engine.ruleset())
    return reply(200, { items = json.array(set and set.rules or {}), next = json.null })
  end,
}

local function switch(id, enabled)
  if not engine.enable_rule(id, enabled) then
    return problem(404, "not_found", 'there is no live rule "' .. id .. '"')
  end
  log.info(enabled and "rule enabled" or "rule disabled", { rule = id })
  return reply(200, { id = id, enabled = enabled })
end

endpoint {
  method = "POST", path = "/api/v1/rules/{id}/enable", auth = "operator",
  summary = "let a rule judge again, out of quarantine too",
  responses = { [200] = { description = "done", schema = { type = "object" } }, [404] = "no such rule" },
  handler = function(req) return switch(req.params.id, true) end,
}

endpoint {
  method = "POST", path = "/api/v1/rules/{id}/disable", auth = "operator",
  summary = "take a rule out at once",
  responses = { [200] = { description = "done", schema = { type = "object" } }, [404] = "no such rule" },
  handler = function(req) return switch(req.params.id, false) end,
}

endpoint {
  method = "POST", path = "/api/v1/admin/reload", auth = "operator",
  summary = "take new rules, lists, scripts and settings: all or nothing",
  responses = {
    [200] = { description = "what is live now", schema = { type = "object" } },
    [422] = "something is wrong: file, line and reason; nothing has changed", [503] = "a reload is under way",
  },
  handler = function()
    local answer, err = engine.call("reload")
    if answer then return reply_raw(200, answer) end
    if err.status == 503 then return problem(err) end
    return problem(422, "reload_refused", err.message)
  end,
}
