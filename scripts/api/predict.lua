--- Transactions in, verdicts out. An answer 2xx means that PostgreSQL has committed.

local schemas = require "lib.schemas"

local RESPONSES = {
  [200] = { description = "the verdict; stored", schema = schemas.verdict },
  [400] = "not JSON", [415] = "not JSON by its media type", [422] = "not a transaction: each fault with its pointer",
  [503] = "too much at once, or the database is away: nothing was acknowledged, try again",
  [507] = "the database has no room on its disk: nothing was acknowledged",
}

endpoint {
  method = "POST", path = "/api/v1/predict", auth = "service",
  summary = "judge and store one transaction",
  description = "Known transactions (chain and hash) are not judged again: the stored verdict, with duplicate = true.",
  body = { raw = true, schema = schemas.transaction_in },
  responses = RESPONSES,
  handler = function()
    local verdict, err = predict.transaction()
    if not verdict then return problem(err) end
    return reply_raw(200, verdict)
  end,
}

local BATCH = {
  type = "object", required = { "transactions" },
  properties = { transactions = { type = "array", minItems = 1, maxItems = 1000, items = schemas.transaction_in } },
}

for _, path in ipairs { "/api/v1/predict/batch", "/api/v1/batch/predict" } do
  endpoint {
    method = "POST", path = path, auth = "service",
    summary = "judge and store many transactions",
    description = "application/json: up to 1000, all or none if one is not valid. application/x-ndjson: a stream of "
      .. "any length, one transaction a line, answered line by line, in order.",
    body = { stream = true, content = { "application/json", "application/x-ndjson" }, schema = BATCH },
    body_limit = 2 ^ 53, timeout_ms = 24 * 3600 * 1000,
    responses = {
      [200] = { description = "verdicts in order", schema = { type = "object", properties = {
        results = { type = "array", items = schemas.verdict }, count = { type = "integer" },
        anomalies = { type = "integer" }, duplicates = { type = "integer" } } } },
      [400] = RESPONSES[400], [413] = "too large", [415] = RESPONSES[415], [422] = RESPONSES[422],
      [503] = RESPONSES[503], [507] = RESPONSES[507],
    },
    handler = function() return predict.batch() end,
  }
end
