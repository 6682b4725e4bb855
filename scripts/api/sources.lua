--- What the engine reads from by itself.

local endpoint_schema = { type = "object", properties = {
  name = { type = "string" },
  state = { type = "string", enum = { "new", "ok", "followed", "wrong chain", "set aside" } },
  head = { type = { "integer", "null" } }, requests = { type = "integer" }, errors = { type = "integer" },
  wait_ms = { type = "integer" }, latency_s = { type = "number" }, last_error = { type = { "string", "null" } },
} }

local source_schema = { type = "object", properties = {
  name = { type = "string" }, kind = { type = "string", enum = { "chain", "kafka" } }, chain_id = { type = "integer" },
  partitions = { type = "integer", description = "kafka: those that this member of the group has" },
  messages = { type = "integer" }, in_flight = { type = "integer" },
  state = { type = "string",
    enum = { "loading", "waiting", "running", "locating", "draining", "rewinding", "halted" } },
  error = { type = { "string", "null" }, description = "what holds it up" },
  head = { type = { "integer", "null" } },
  block = { type = { "integer", "null" }, description = "newest block that is stored" },
  lag = { type = { "integer", "null" } }, final = { type = { "integer", "null" } },
  reorgs = { type = "integer" }, deepest = { type = "integer" }, transactions = { type = "integer" },
  skipped = { type = "integer", description = "transactions left out because they make no sense" },
  announced = { type = { "integer", "null" }, description = "new blocks that the node announced; null: not asked to" },
  endpoints = { type = "array", items = endpoint_schema },
} }

endpoint {
  method = "GET", path = "/api/v1/sources", auth = "viewer",
  summary = "chains that are followed: where each is, and how its nodes do",
  responses = { [200] = { description = "one object a source of the settings", schema = { type = "object",
    properties = { sources = { type = "array", items = source_schema } } } } },
  handler = function()
    local answer, err = engine.call "sources"
    if not answer then return problem(err) end
    return reply_raw(200, answer)
  end,
}
