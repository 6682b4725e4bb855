--- Operation: health, metrics, the API's own description. Open to everybody; none of it touches the database.

local function report(database, evaluator)
  return json.encode {
    status = database and evaluator and "ok" or "degraded",
    version = engine.version,
    checks = { database = database and "ok" or "failing", evaluator = evaluator and "ok" or "failing" },
  }
end

-- Probes and load balancers ask all the time: the four answers are made once.
local REPORTS = {
  [true] = { [true] = report(true, true), [false] = report(true, false) },
  [false] = { [true] = report(false, true), [false] = report(false, false) },
}

local ALIVE = json.encode { status = "ok" }

endpoint {
  method = "GET", path = "/health/live", auth = "none",
  summary = "the process answers",
  responses = { [200] = "it is alive" },
  handler = function() return reply_raw(200, ALIVE) end,
}

endpoint {
  method = "GET", path = "/health", auth = "none",
  summary = "what works and what does not; always 200 while the process answers",
  responses = { [200] = { description = "status and checks", schema = { type = "object" } } },
  handler = function()
    local database, evaluator = engine.health()
    return reply_raw(200, REPORTS[database][evaluator])
  end,
}

endpoint {
  method = "GET", path = "/health/ready", auth = "none",
  summary = "transactions can be taken now",
  responses = { [200] = "ready", [503] = "the database or the evaluator is away" },
  handler = function()
    local database, evaluator = engine.health()
    if database and evaluator then return reply_raw(200, REPORTS[true][true]) end
    local why = database and "no transaction gets through the evaluator and into the database now"
      or "the database is away"
    return problem(503, "not_ready", why, { retry_after = 1 })
  end,
}

endpoint {
  method = "GET", path = "/metrics", auth = "none",
  summary = "metrics of the engine, for Prometheus",
  responses = { [200] = { description = "text format 0.0.4", content = "text/plain", schema = { type = "string" } } },
  handler = function() return reply_text(200, "text/plain; version=0.0.4; charset=utf-8", engine.metrics()) end,
}

endpoint {
  method = "GET", path = "/openapi.json", auth = "none",
  summary = "this description, OpenAPI 3.1",
  responses = { [200] = { description = "the document", schema = { type = "object" } } },
  handler = function() return reply_raw(200, engine.openapi()) end,
}
