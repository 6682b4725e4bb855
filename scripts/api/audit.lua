--- The audit log: append-only, hash-chained. `chainwatch audit verify` checks it.

local filters = require "lib.filter"
local schemas = require "lib.schemas"

local ENTRY = {
  type = "object",
  properties = {
    id = { type = "integer" }, seq = { type = "integer", description = "place in the chain, without gaps" },
    timestamp = { type = "string", format = "date-time" }, event_type = { type = "string" },
    user_id = { type = { "integer", "null" } }, api_key_id = { type = { "integer", "null" } },
    resource = { type = "string" }, action = { type = "string" }, status = { type = "string" },
    ip_address = { type = { "string", "null" } }, user_agent = { type = { "string", "null" } },
    request_id = { type = { "string", "null" } }, details = { type = { "object", "null" } },
    severity = { type = "string" }, previous_hash = { type = "string" }, hash = { type = "string" },
  },
}

local function params(more)
  local all = {
    event_type = { type = "string", max_length = 100, doc = "a whole type, or a family that ends in a dot: \"auth.\"" },
    user_id = { type = "integer", min = 1 }, api_key_id = { type = "integer", min = 1 },
    resource = { type = "string", max_length = 200 }, action = { type = "string", max_length = 100 },
    status = { type = "string", max_length = 100 }, ip_address = { type = "string", max_length = 64 },
    request_id = { type = "string", max_length = 64 },
    severity = { type = "string", enum = { "info", "warning", "error", "critical" } },
    since = { type = "time" }, ["until"] = { type = "time" },
  }
  for name, spec in pairs(more or {}) do all[name] = spec end
  return all
end

endpoint {
  method = "GET", path = "/api/v1/audit-logs", auth = "admin",
  summary = "audit entries, newest first",
  params = params {
    limit = { type = "integer", min = 1, max = 1000, default = 50 }, cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = { description = "a page", schema = schemas.page(ENTRY) }, [400] = "a parameter is wrong" },
  handler = function(req)
    local page, err = db.audit_logs:list_json(filters.times(req.params))
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/audit-logs/statistics", auth = "admin",
  summary = "counts by event type, status and severity, with the same filters",
  params = params(),
  responses = { [200] = { description = "groups", schema = { type = "object" } }, [400] = "a parameter is wrong" },
  handler = function(req)
    local groups, err = db.audit_logs:statistics_json(filters.times(req.params))
    if not groups then return problem(err) end
    return reply_raw(200, groups)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/audit-logs/{id}", auth = "admin",
  summary = "one entry",
  params = { id = { type = "integer", required = true, min = 1 } },
  responses = { [200] = { description = "the entry", schema = ENTRY }, [404] = "no such entry" },
  handler = function(req)
    local row, err = db.audit_logs:get_json(req.params)
    if not row then return problem(err) end
    return reply_raw(200, row)
  end,
}
