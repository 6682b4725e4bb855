--- What the rules found: lists, one by one, review, and as it happens.

local schemas = require "lib.schemas"
local filters = require "lib.filter"

local SEVERITIES = { "low", "medium", "high", "critical" }
local STATUSES = { "open", "investigating", "confirmed", "dismissed" }

local PAGE = { description = "a page, newest first", schema = schemas.page(schemas.anomaly) }
local ONE = { description = "the anomaly", schema = schemas.anomaly }

endpoint {
  method = "GET", path = "/api/v1/anomalies", auth = "viewer",
  summary = "anomalies, newest first, each with its transaction",
  description = "`next` of one page is the `cursor` of the page after it; pages stay stable while new anomalies "
    .. "come in.",
  params = {
    severity = { type = "string", enum = SEVERITIES, doc = "exactly this severity" },
    min_severity = { type = "string", enum = SEVERITIES, doc = "this severity or above" },
    rule = { type = "string", max_length = 128, doc = "id of the rule that fired" },
    address = { type = "address", doc = "sender or receiver of a transaction on which it fired" },
    hash = { type = "hash", doc = "of a transaction on which it fired" },
    chain_id = { type = "integer", min = 0 },
    since = { type = "time", doc = "detected at this time or later" },
    ["until"] = { type = "time", doc = "detected before this time" },
    reviewed = { type = "boolean" },
    false_positive = { type = "boolean" },
    status = { type = "string", enum = STATUSES },
    shadow = { type = "boolean", doc = "true: those of rules in shadow, which are left out otherwise" },
    suppressed = { type = "boolean", doc = "true: those that a suppression hides, which are left out otherwise" },
    finality = { type = "string", enum = { "provisional", "final", "retracted" } },
    min_score = { type = "number", min = 0, max = 1 },
    entity = { type = "address", doc = "the address that the alert is about" },
    role = { type = "string", enum = { "actor", "victim", "counterparty", "unknown" } },
    label_withdrawn = { type = "boolean", doc = "true: opened again because a label that it rested on was taken away" },
    list = { type = "string", max_length = 128, doc = "rests on a label of this list, or was hidden by it" },
    limit = { type = "integer", min = 1, max = 1000, default = 50 },
    cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = PAGE, [400] = "a parameter is wrong: which one and why" },
  handler = function(req)
    local page, err = db.anomalies:list_json(filters.times(req.params))
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/anomalies/unreviewed", auth = "viewer",
  summary = "what waits for a review: critical first, the oldest first within a severity",
  params = {
    min_severity = { type = "string", enum = SEVERITIES }, rule = { type = "string", max_length = 128 },
    limit = { type = "integer", min = 1, max = 1000, default = 50 }, cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = { description = "a page", schema = schemas.page(schemas.anomaly) } },
  handler = function(req)
    local page, err = db.anomalies:unreviewed_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/anomalies/statistics", auth = "viewer",
  summary = "anomalies of a period by rule and severity, the share of false positives, and the busiest addresses",
  params = {
    since = { type = "time", required = true }, ["until"] = { type = "time" },
    rule = { type = "string", max_length = 128 },
    addresses = { type = "integer", min = 0, max = 1000, default = 10, doc = "how many addresses; 0: none" },
  },
  responses = { [200] = { description = "items, false_positive_rate, addresses", schema = { type = "object" } } },
  handler = function(req)
    local p = filters.times(req.params)
    local period = { since = p.since, ["until"] = p["until"], rule = p.rule }
    local found, err = db.anomalies:statistics(period)
    if not found then return problem(err) end
    local rate, err2 = db.anomalies:false_positive_rate(period)
    if not rate then return problem(err2) end
    local addresses = { items = json.array {} }
    if p.addresses > 0 then
      addresses, err = db.anomalies:by_entity { since = p.since, ["until"] = p["until"], limit = p.addresses }
      if not addresses then return problem(err) end
    end
    return reply(200, { items = found.items, false_positive_rate = rate, addresses = addresses.items })
  end,
}

endpoint {
  method = "GET", path = "/api/v1/anomalies/{id}", auth = "viewer",
  summary = "one anomaly with its transaction",
  params = { id = { type = "integer", min = 1, required = true } },
  responses = { [200] = ONE, [404] = "no such anomaly" },
  handler = function(req)
    local row, err = db.anomalies:get_json { id = req.params.id }
    if not row then return problem(err) end
    return reply_raw(200, row)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/anomalies/{id}/evidence", auth = "viewer",
  summary = "the transactions on which an alert fired, newest first, with what the rule said of each",
  description = "The founding one is evidence too. `canonical` is false for a transaction that a reorganisation of "
    .. "its chain has dropped: it does not count any more.",
  params = {
    id = { type = "integer", min = 1, required = true },
    limit = { type = "integer", min = 1, max = 1000, default = 50 },
    cursor = { type = "string", max_length = 512 },
  },
  responses = {
    [200] = { description = "a page, newest first", schema = schemas.page(schemas.evidence) },
    [404] = "no such anomaly",
  },
  handler = function(req)
    local row, err = db.anomalies:get_json { id = req.params.id }
    if not row then return problem(err) end
    local page, err2 = db.anomalies:evidence_json(req.params)
    if not page then return problem(err2) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/anomalies/{id}/review", auth = "analyst",
  summary = "a reviewer's word on an anomaly",
  description = "A false positive is dismissed unless a status says otherwise.",
  params = { id = { type = "integer", min = 1, required = true } },
  body = { fields = {
    false_positive = { type = "boolean", required = true },
    status = { type = "string", enum = STATUSES },
    note = { type = "string", max_length = 4000 },
  }, required = true },
  responses = { [200] = ONE, [404] = "no such anomaly", [422] = "the body is wrong" },
  handler = function(req)
    local data = req.data
    local row, err = db.transaction(function()
      local text, why = db.anomalies:review_json {
        id = req.params.id, false_positive = data.false_positive, status = data.status, note = data.note,
        reviewed_by = req.user and req.user.id > 0 and req.user.id or nil,
      }
      if not text then return nil, why end
      local noted
      noted, why = db.audit_logs:append { event_type = "anomaly.review", resource = "anomaly/" .. req.params.id,
        action = "review", details = { false_positive = data.false_positive, status = data.status } }
      if not noted then return nil, why end
      return text
    end)
    if not row then return problem(err) end
    return reply_raw(200, row)
  end,
}

local LEAST = { low = 0, medium = 1, high = 2, critical = 3 }

local BACKLOG, PAGE_OF_BACKLOG = 5000, 500   -- events that a stream catches up with

endpoint {
  method = "GET", path = "/api/v1/anomalies/stream", auth = "viewer",
  summary = "anomalies as they are committed: server-sent events",
  description = "Event `anomaly`: a new alert; its id is the anomaly's. Event `anomaly.updated`, without an id: one "
    .. "that lives has risen in severity, or fires for the 2nd, 4th, 8th, ... time. Event "
    .. "`anomaly.retracted`, without an id: its chain dropped all that it rested on. Event `anomaly.label_withdrawn`, "
    .. "without an id: a label that it rested on was taken away, it is open again. "
    .. "Last-Event-ID (or last_id) resumes behind it; what has left the memory of the engine comes from the "
    .. "database. A gap of more than 5000 events is answered 409: read GET /anomalies, then subscribe again.",
  params = {
    min_severity = { type = "string", enum = SEVERITIES, default = "low" },
    rule = { type = "string", max_length = 90 },
    last_id = { type = "integer", min = 0 },
  },
  responses = {
    [200] = { description = "a stream", content = "text/event-stream", schema = { type = "string" } },
    [409] = "too many events came behind last_id",
  },
  handler = function(req)
    local last = req.params.last_id or tonumber(req:header("Last-Event-ID") or "") or 0
    local least, rule = LEAST[req.params.min_severity], req.params.rule
    local taken = anomalies.stream(last, least, rule)
    if taken then return taken end
    -- What has left the memory of the engine is in the database.
    local backlog, at = { ids = {} }, last
    for _ = 1, BACKLOG / PAGE_OF_BACKLOG do
      local up_to = anomalies.newest()
      local page, err = db.anomalies:after { after = at, up_to = up_to, rule = rule, limit = PAGE_OF_BACKLOG }
      if not page then return problem(err) end
      local rows = page.items
      for _, row in ipairs(rows) do
        backlog[#backlog + 1], backlog.ids[#backlog.ids + 1] = json.encode(row), row.id
      end
      at = #rows == PAGE_OF_BACKLOG and rows[#rows].id or up_to
      if at == up_to then
        taken = anomalies.stream(at, least, rule, backlog)
        if taken then return taken end
      end
    end
    return problem(409, "stream_gap", "there are more than " .. BACKLOG .. " events after " .. last)
  end,
}
