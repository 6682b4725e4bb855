--- Address lists of the database: import, look, take away, hide alerts by them.

local schemas = require "lib.schemas"

local VERSION = { description = "the new version", schema = schemas.label_version }
local IMPORT_MS = 240000   -- a million labels, on a busy machine
local NAME = { type = "string", max_length = 63, required = true }
local NAMES = "^[%w][%w_.-]*$"

local function user_of(req) return req.user and req.user.id > 0 and req.user.id or nil end

local function events() return #(json.decode(engine.call("deliver.targets") or "[]")) > 0 end

--- The change and its line in the audit log, or neither; then waits until it is live here. `act` gives a version row as
--- JSON text, or nil and an error. Nothing changed: nil, nil.
local function changed(action, details, act, timeout_ms)
  local done, err = db.transaction({ timeout_ms = timeout_ms }, function()
    local row, why = act()
    if not row then
      if why and why.code ~= "not_found" then return nil, why end
      return { none = true }
    end
    for k, v in pairs { version = row.version, added = row.added, changed = row.changed, removed = row.removed,
      reopened = row.reopened } do details[k] = v end
    local noted, wrong = db.audit_logs:append { event_type = "label." .. action, resource = "labels/" .. row.list,
      action = action, status = "ok", details = details }
    if not noted then return nil, wrong end
    return { row = row }
  end)
  if not done then return nil, err end
  if done.none then return nil end
  local live, why = engine.call("labels.refresh")
  if not live then log.warn("labels are stored, and not live yet", { error = why and why.message or "" }) end
  done.row.live = live ~= nil
  return done.row
end

endpoint {
  method = "GET", path = "/api/v1/labels", auth = "viewer",
  summary = "the address lists of the database, or what they say of an address",
  description = "Without `address`: each list with its version, checksum and whether it hides alerts. With it: all "
    .. "labels of that address. Lists that are files of the engine are not among them.",
  params = {
    address = { type = "address" }, chain_id = { type = "integer", min = 0 },
    expired = { type = "boolean", doc = "false: only what holds now" },
  },
  responses = { [200] = { description = "items", schema = { type = "object" } } },
  handler = function(req)
    local p = req.params
    local found, err
    if p.address then
      found, err = db.labels:of { address = p.address, chain_id = p.chain_id, expired = p.expired }
    else
      found, err = db.labels:lists {}
    end
    if not found then return problem(err) end
    return reply(200, { items = found.items })
  end,
}

endpoint {
  method = "GET", path = "/api/v1/labels/{list}", auth = "viewer",
  summary = "the labels of a list, by address",
  description = "`next` of one page is `after` of the page after it. All labels of an address come together.",
  params = {
    list = NAME, category = { type = "string", max_length = 64 }, source = { type = "string", max_length = 500 },
    chain_id = { type = "integer", min = 0 }, expired = { type = "boolean" },
    after = { type = "address" }, limit = { type = "integer", min = 1, max = 10000, default = 100 },
  },
  responses = { [200] = { description = "list, items, next", schema = { type = "object" } }, [404] = "no such list" },
  handler = function(req)
    local p = req.params
    local lists, err = db.labels:lists { list = p.list }
    if not lists then return problem(err) end
    if not lists.items[1] then return problem(404, "not_found", "there is no list \"" .. p.list .. "\"") end
    local page, why = db.labels:list { list = p.list, category = p.category, source = p.source, chain_id = p.chain_id,
      expired = p.expired, after = p.after, limit = p.limit }
    if not page then return problem(why) end
    local items = page.items
    return reply(200, { list = lists.items[1], items = items,
      next = #items >= p.limit and items[#items].address or json.null })
  end,
}

endpoint {
  method = "POST", path = "/api/v1/labels/{list}/import", auth = "analyst",
  summary = "labels from a file in the body go to a list",
  description = "CSV (`address,category,name,source`, in any order; also confidence, first_seen, last_seen, expires, "
    .. "chain_id), a GraphSense TagPack, OFAC's SDN list (XML, CSV, text) or one address a line. One bad row refuses "
    .. "the whole, with line and field, unless `skip_bad`. With `replace` what is not in the body leaves the list, and "
    .. "alerts that rested on it are opened again. Answers when the labels are live on this engine; others follow "
    .. "within seconds.",
  params = {
    list = NAME, format = { type = "string", enum = { "auto", "csv", "tagpack", "ofac", "plain" }, default = "auto" },
    category = { type = "string", max_length = 64, doc = "where the body says none; so source and confidence" },
    source = { type = "string", max_length = 500 }, confidence = { type = "number", min = 0, max = 1 },
    chain_id = { type = "integer", min = 0, doc = "of all labels, whatever the body says; 0: on every chain" },
    replace = { type = "boolean", default = false }, skip_bad = { type = "boolean", default = false },
  },
  body = { raw = true, required = true, schema = { type = "string" },
    content = { "text/csv", "text/plain", "application/yaml", "application/xml", "application/json" } },
  body_limit = 67108864, timeout_ms = IMPORT_MS + 60000,
  responses = {
    [200] = VERSION,
    [422] = "the body cannot be read: line, field and what is wrong",
  },
  handler = function(req)
    local p = req.params
    if not p.list:find(NAMES) then
      return problem(422, "list_name", "a list has a name of letters, digits, _, - and dots")
    end
    local rows, report = labels.read(req.body, { file = "the body", format = p.format, category = p.category,
      source = p.source, confidence = p.confidence, chain_id = p.chain_id, skip_bad = p.skip_bad })
    if type(report) == "table" then return problem(report) end
    if not rows then return problem(422, "labels_invalid", report) end
    report = json.decode(report)
    local row, err = changed("import", { rows = report.rows, skipped = report.skipped }, function()
      local n, part = 1, rows(1)             -- from the first again where the transaction is tried again
      while part do
        local staged, why = db.labels:stage { rows = part }
        if not staged then return nil, why end
        n = n + 1
        part = rows(n)
      end
      return db.labels:import { list = p.list, replace = p.replace, format = report.format,
        file = "HTTP", created_by = user_of(req), events = events() }
    end, IMPORT_MS)
    if err then return problem(err) end
    local sanctioned = db.labels:sanctioned { list = p.list }
    report.version = row or json.null
    report.sanctioned_elsewhere = sanctioned and #sanctioned.items or 0
    return reply(200, report)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/labels/{list}/remove", auth = "analyst",
  summary = "take labels off a list",
  description = "Of an address (on one chain, of one category, where these are given), or with `all` every one. Alerts "
    .. "that rested on them are opened again: `reopened` counts them, GET .../withdrawals lists them.",
  params = { list = NAME },
  body = { fields = {
    address = { type = "address" }, chain_id = { type = "integer", min = 0 },
    category = { type = "string", max_length = 64 }, all = { type = "boolean" },
    reason = { type = "string", max_length = 2000 },
  }, required = true },
  responses = { [200] = VERSION, [404] = "no such label", [422] = "neither address nor all" },
  handler = function(req)
    local d, list = req.data, req.params.list
    if (d.address ~= nil) == (d.all == true) then
      return problem(422, "body_invalid", "say an address, or all = true")
    end
    local details = { address = d.address, category = d.category, reason = d.reason }
    local row, err = changed("remove", details, function()
      return db.labels:remove { list = list, address = d.address, chain_id = d.chain_id, category = d.category,
        removed_by = user_of(req), events = events() }
    end)
    if err then return problem(err) end
    if not row then return problem(404, "not_found", "there is no such label on list \"" .. list .. "\"") end
    return reply(200, row)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/labels/{list}/versions", auth = "viewer",
  summary = "every change of a list, newest first: counts, checksum, who, when",
  params = { list = NAME, limit = { type = "integer", min = 1, max = 1000, default = 50 },
    cursor = { type = "string", max_length = 512 } },
  responses = { [200] = { description = "a page", schema = schemas.page(schemas.label_version) } },
  handler = function(req)
    local page, err = db.labels:versions_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/labels/{list}/withdrawals", auth = "viewer",
  summary = "alerts that were opened again because a label of the list was taken away, newest first",
  params = { list = NAME, version = { type = "integer", min = 1 },
    limit = { type = "integer", min = 1, max = 1000, default = 50 }, cursor = { type = "string", max_length = 512 } },
  responses = { [200] = { description = "a page", schema = schemas.page { type = "object" } } },
  handler = function(req)
    local page, err = db.labels:withdrawals_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/labels/{list}/suppress", auth = "operator",
  summary = "let a list hide alerts, or not any more",
  description = "Alerts of listed addresses are stored with `suppressed_by` and told to nobody; the suppression counts "
    .. "them. `rules` are patterns of rule ids and tags (eth.fan_*, aml.*); `side` says whose address must be listed: "
    .. "the one that the alert is about (entity), the other (counterparty), or either; alerts above `max_severity` "
    .. "(default high) are told. Never hidden: alerts that rest on a label of a category sanction..., and those of "
    .. "parties under one.",
  params = { list = NAME },
  body = { fields = {
    on = { type = "boolean", required = true }, rules = { type = "array" },
    side = { type = "string", enum = { "entity", "counterparty", "either" } },
    max_severity = { type = "string", enum = { "low", "medium", "high", "critical" } },
    reason = { type = "string", max_length = 2000 },
  }, required = true },
  responses = { [200] = VERSION, [404] = "no such list, or it hides nothing", [422] = "the body is wrong" },
  handler = function(req)
    local d, list = req.data, req.params.list
    if d.on and not (d.reason or ""):find("%S") then
      return problem(422, "body_invalid", "reason: why its alerts need not be seen")
    end
    for _, rule in ipairs(d.rules or {}) do
      if type(rule) ~= "string" or not rule:find("^[%w_.*-]+$") then
        return problem(422, "body_invalid", "rules are patterns of rule ids and tags, like eth.fan_*")
      end
    end
    if d.rules and (#d.rules == 0 or #d.rules > 16) then
      return problem(422, "body_invalid", "rules has 1 to 16 patterns; leave it out for all rules")
    end
    local details = { on = d.on, rules = d.rules, side = d.side, max_severity = d.max_severity, reason = d.reason }
    local row, err = changed("suppress", details, function()
      return db.labels:suppress { list = list, on = d.on, rules = d.rules, side = d.side, max_severity = d.max_severity,
        reason = d.reason, owner = user_of(req) }
    end)
    if err then return problem(err) end
    if not row then
      return problem(404, "not_found", d.on and "there is no list \"" .. list .. "\"" or "list \"" .. list
        .. "\" hides no alerts")
    end
    return reply(200, row)
  end,
}
