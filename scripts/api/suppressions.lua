--- Alerts that nobody wants to see for a while: stored as ever, not told. They take effect with the next commit.

local schemas = require "lib.schemas"
local suppress = require "lib.suppress"

local ONE = { description = "the suppression", schema = schemas.suppression }
local YEAR = 366 * 24 * 3600

endpoint {
  method = "GET", path = "/api/v1/suppressions", auth = "viewer",
  summary = "suppressions, newest first, with what they hid",
  params = {
    active = { type = "boolean", doc = "in force now, or over" },
    rule = { type = "string", max_length = 128 },
    address = { type = "address" },
    list = { type = "string", max_length = 63, doc = "those of an address list that hides alerts" },
    limit = { type = "integer", min = 1, max = 1000, default = 50 },
    cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = { description = "a page", schema = schemas.page(schemas.suppression) } },
  handler = function(req)
    local page, err = db.suppressions:list_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/suppressions/{id}", auth = "viewer",
  summary = "one suppression",
  params = { id = { type = "integer", min = 1, required = true } },
  responses = { [200] = ONE, [404] = "no such suppression" },
  handler = function(req)
    local row, err = db.suppressions:get_json { id = req.params.id }
    if not row then return problem(err) end
    return reply_raw(200, row)
  end,
}

local function user_of(req) return req.user and req.user.id > 0 and req.user.id or nil end

--- The act and its line in the audit log, or neither. Returns the row as JSON text, or nil and the error.
local function audited(action, req, act)
  local row, err = db.transaction(function()
    local text, failed = act()
    if not text then return { failed = failed } end
    local now = json.decode(text)
    local _, not_noted = db.audit_logs:append {
      event_type = "suppression." .. action, resource = "suppressions/" .. now.id, action = action, status = "ok",
      details = { rule = now.rule, address = now.address, dedup_key = now.dedup_key, chain_id = now.chain_id,
        reason = now.reason, expires_at = now.expires_at, hidden = now.hidden, note = req.data and req.data.note },
    }
    if not_noted then error(not_noted.message or "the audit log refused the line") end
    return { text = text }
  end)
  if not row then return nil, err end
  return row.text, row.failed
end

endpoint {
  method = "POST", path = "/api/v1/suppressions", auth = "analyst",
  summary = "hide alerts that match, until a time",
  description = "Alerts that match all of what is given are stored with `suppressed_by` and told to nobody; rules and "
    .. "their state do not notice. At least a rule, an address or a dedup key; always a reason and an end. One that "
    .. "would hide what a rule's own tests fire on is refused: to silence a whole rule, disable it.",
  body = { fields = {
    rule = { type = "string", max_length = 128, doc = "id of the rule" },
    address = { type = "address", doc = "sender or receiver" },
    dedup_key = { type = "string", max_length = 256 },
    chain_id = { type = "integer", min = 0 },
    reason = { type = "string", max_length = 2000, required = true },
    expires_at = { type = "time", required = true, doc = "in the future, a year away at most" },
  }, required = true },
  responses = { [201] = ONE, [422] = "the body is wrong, or it would hide a rule's own test" },
  handler = function(req)
    local d = req.data
    local wrong = suppress.refuse(d, engine.rule_fires, time.now(), YEAR)
    if wrong then return problem(422, "suppression_refused", wrong) end
    local row, err = audited("create", req, function()
      return db.suppressions:create_json {
        rule = d.rule, address = d.address, dedup_key = d.dedup_key, chain_id = d.chain_id, reason = d.reason,
        owner = user_of(req), expires_at = time.format(d.expires_at),
      }
    end)
    if not row then return problem(err) end
    return reply_raw(201, row)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/suppressions/{id}/end", auth = "analyst",
  summary = "end a suppression now",
  description = "What it hid stays hidden; an alert that fires on is told at its next fire.",
  params = { id = { type = "integer", min = 1, required = true } },
  responses = { [200] = ONE, [404] = "no such suppression, or that of a list, which ends with its declaration" },
  handler = function(req)
    local row, err = audited("end", req, function()
      return db.suppressions:finish_json { id = req.params.id, ended_by = user_of(req) }
    end)
    if not row then return problem(err) end
    return reply_raw(200, row)
  end,
}
