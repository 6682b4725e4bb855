--- Deliveries of alerts: what waits, what was given up, trying again.

local schemas = require "lib.schemas"
local delivery = require "lib.delivery"

local ROWS = { description = "a page, newest first", schema = schemas.page({ type = "object" }) }

endpoint {
  method = "GET", path = "/api/v1/deliveries", auth = "operator",
  summary = "deliveries of alerts to their targets",
  params = {
    target = { type = "string", max_length = 64 },
    state = { type = "string", enum = { "due", "delivered", "failed" }, doc = "failed: given up" },
    anomaly_id = { type = "integer", min = 1 },
    limit = { type = "integer", min = 1, max = 1000, default = 50 },
    cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = ROWS },
  handler = function(req)
    local page, err = db.outbox:list_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/deliveries/targets", auth = "operator",
  summary = "the targets of the settings, without their secrets, and what waits for each",
  responses = { [200] = { description = "items", schema = { type = "object" } } },
  handler = function()
    local targets, by_name = delivery.targets()
    if not targets then return problem(by_name) end
    local counts, err = db.outbox:targets()
    if not counts then return problem(err) end
    local items, waiting = json.array {}, {}
    for _, c in ipairs(counts.items) do waiting[c.target] = c end
    for i, t in ipairs(targets) do
      local w = waiting[t.name] or { due = 0, failed = 0 }
      items[i] = { name = t.name, format = t.format or "generic", min_severity = t.min_severity, rules = t.rules,
        due = w.due, failed = w.failed, oldest = w.oldest, last_error = w.last_error, configured = true }
      waiting[t.name] = nil
    end
    for name, w in pairs(waiting) do
      items[#items + 1] = { name = name, due = w.due, failed = w.failed, oldest = w.oldest, configured = false }
    end
    return reply(200, { items = items })
  end,
}

endpoint {
  method = "POST", path = "/api/v1/deliveries/{id}/retry", auth = "operator",
  summary = "try one at once that was given up or waits",
  params = { id = { type = "integer", min = 1, required = true } },
  responses = { [200] = "the delivery", [404] = "no such delivery, or it has arrived" },
  handler = function(req)
    local row, err = db.transaction(function()
      local again, fault = db.outbox:again { id = req.params.id }
      if not again then return nil, fault end
      db.audit_logs:append { event_type = "delivery.retry", resource = "deliveries/" .. req.params.id, action = "retry",
        status = "success" }
      return again
    end)
    if not row then return problem(err) end
    return reply(200, row)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/deliveries/targets/{name}/retry", auth = "operator",
  summary = "try everything again that was given up for a target",
  params = { name = { type = "string", required = true, max_length = 64 } },
  responses = { [200] = "how many", [404] = "no such target, now or before" },
  handler = function(req)
    local targets, by_name = delivery.targets()
    if not targets then return problem(by_name) end
    local n, err = db.transaction(function()
      local count, fault = db.outbox:retry { target = req.params.name }
      if not count then return nil, fault end
      if count == 0 and not by_name[req.params.name] then
        return nil, { status = 404, code = "not_found", message = 'there is no target "' .. req.params.name .. '"' }
      end
      local noted
      noted, fault = db.audit_logs:append { event_type = "delivery.retry", resource = "deliveries/targets/"
        .. req.params.name, action = "retry", status = "success", details = { count = count } }
      if not noted then return nil, fault end
      return count
    end)
    if not n then return problem(err) end
    return reply(200, { target = req.params.name, retried = n })
  end,
}

endpoint {
  method = "POST", path = "/api/v1/deliveries/targets/{name}/test", auth = "operator",
  summary = "send a target a made-up alert now, and tell what it answered",
  params = { name = { type = "string", required = true, max_length = 64 } },
  responses = { [200] = "it has taken it", [404] = "no such target", [502] = "it has not: why" },
  handler = function(req)
    local targets, by_name = delivery.targets()
    if not targets then return problem(by_name) end
    local target = by_name[req.params.name]
    if not target then return problem(404, "not_found", 'there is no target "' .. req.params.name .. '"') end
    local event = { id = "test-" .. req.id, kind = "new", at = time.format(time.now()), alert = {
      id = 0, rule = "chainwatch.test", rule_version = "1.0.0", severity = "low", score = 0.5, confidence = 0.5,
      title = "A test of this receiver", explanation = "Nothing has happened.", dedup_key = "test", occurrences = 1,
      detected_at = time.format(time.now()) } }
    local reason
    if target.format == "email" then
      local text, subject = require "lib.formats".email(target, { event })
      local ok, err = http.mail { url = target.url, user = target.user, password = target.password, from = target.from,
        to = target.to or {}, subject = subject, text = text }
      reason = not ok and err.message or nil
    else
      local answer, err = http.request(delivery.request(target, event.id, { event }, time.now()))
      reason = delivery.fault(answer or { error = err })
    end
    if reason then return problem(502, "delivery_failed", reason) end
    return reply(200, { target = target.name, delivered = true })
  end,
}
