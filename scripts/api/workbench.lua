--- The analyst's workbench over HTTP: why a rule said what it said, and what rules would have found.

local busy = require "lib.busy"

local OBJECT = { type = "object" }
local HASH = { type = "hash", required = true }
local RULE = { type = "string", max_length = 64, doc = "id; left out: all rules that are live" }
local VERSION = { type = "string", max_length = 64, doc = "a version of the rule that was live once" }

local function answer(status, text, err)
  if text then return reply_raw(status, text) end
  if err.code == "script" then return problem(422, "script_failed", err.message) end
  return busy(err)
end

endpoint {
  method = "GET", path = "/api/v1/explain/{hash}", auth = "analyst",
  summary = "why each rule fired on a transaction, or did not",
  description = "The rules run over the stored history before the transaction, aside, and judge it with a trace: "
    .. "parameters, the calls of their states with results and contents, both sides of every comparison, the condition "
    .. "that decided, the alert if there is one, and whether live traffic said the same (`agrees`).",
  params = { hash = HASH, rule = RULE, version = VERSION,
    chain_id = { type = "integer", min = 0, doc = "where several chains have the hash" } },
  responses = { [200] = { description = "transaction, replayed, rules", schema = OBJECT },
    [404] = "no such transaction, rule or version", [422] = "not a hash; or the rule does not load",
    [429] = "others are being made; try again", [504] = "the history was not replayed in time" },
  handler = function(req)
    local p = req.params
    return answer(200, engine.call("explain",
      json.encode { hash = p.hash, rule = p.rule, version = p.version, chain = p.chain_id }))
  end,
}

endpoint {
  method = "POST", path = "/api/v1/backtests", auth = "analyst",
  summary = "start a backtest over stored history",
  description = "Runs by itself, one at a time; the live engine does not notice. `source` is the text of a rule, else "
    .. "the stored one of `rule` (and `version`), else all rules that are live.",
  body = { fields = {
    rule = { type = "string", max_length = 64 }, version = { type = "string", max_length = 64 },
    source = { type = "string", max_length = 65536, doc = "text of a rule" },
    from = { type = "time", doc = "block time, included" },
    to = { type = "time", doc = "block time, not included" },
    warm = { type = "string", max_length = 16, doc = "history before `from` that warms up: \"7d\", \"0\", \"all\"" },
  } },
  responses = { [202] = { description = "id, status", schema = OBJECT }, [404] = "no such rule or version",
    [422] = "what is wrong with it", [429] = "one is running; try again" },
  handler = function(req)
    local b = req.data or {}
    return answer(202, engine.call("backtest.start", json.encode {
      rule = b.rule, version = b.version, source = b.source, from = b.from, to = b.to, warm = b.warm }))
  end,
}

endpoint {
  method = "GET", path = "/api/v1/backtests", auth = "analyst",
  summary = "the last 100 backtests, newest first",
  responses = { [200] = { description = "items: id, status, progress while it runs", schema = OBJECT } },
  handler = function() return answer(200, engine.call("backtest.list", "{}")) end,
}

endpoint {
  method = "GET", path = "/api/v1/backtests/{id}", auth = "analyst",
  summary = "one backtest: progress while it runs, then report and the first 1000 fires",
  params = { id = { type = "integer", min = 1, required = true } },
  responses = { [200] = { description = "id, status, detail", schema = OBJECT }, [404] = "no such backtest" },
  handler = function(req) return answer(200, engine.call("backtest.get", json.encode { id = req.params.id })) end,
}

endpoint {
  method = "DELETE", path = "/api/v1/backtests/{id}", auth = "analyst",
  summary = "cancel a running backtest",
  params = { id = { type = "integer", min = 1, required = true } },
  responses = { [200] = { description = "id, status", schema = OBJECT }, [404] = "it does not run here" },
  handler = function(req) return answer(200, engine.call("backtest.cancel", json.encode { id = req.params.id })) end,
}
