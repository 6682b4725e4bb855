--- The engine's own metrics as they were sampled (scripts/jobs/metrics_sample.lua); /metrics has those of this moment.

local schemas = require "lib.schemas"
local filters = require "lib.filter"

local POINT = { type = "object", properties = {
  timestamp = { type = "string", format = "date-time" }, tags = { type = "object" }, average = { type = "number" },
  min = { type = "number" }, max = { type = "number" }, last = { type = "number" }, count = { type = "integer" },
} }

endpoint {
  method = "GET", path = "/api/v1/metrics/system/names", auth = "viewer",
  summary = "names of the metrics that have samples",
  responses = { [200] = { description = "items", schema = { type = "object" } } },
  handler = function()
    local rows, err = db.system_metrics:names_json {}
    if not rows then return problem(err) end
    return reply_raw(200, rows)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/metrics/system", auth = "viewer",
  summary = "one metric over a period: samples, or buckets with average, min, max and last",
  description = "With `bucket` (seconds) the answer has one point a bucket and set of tags, oldest first; without it "
    .. "the samples themselves, newest first, in pages.",
  params = {
    name = { type = "string", max_length = 200, required = true },
    since = { type = "time", doc = "needed with a bucket" }, ["until"] = { type = "time" },
    bucket = { type = "integer", min = 1, max = 31622400, doc = "seconds" },
    tags = { type = "string", max_length = 1000, doc = "JSON object: tags that must be there" },
    limit = { type = "integer", min = 1, max = 1000 }, cursor = { type = "string", max_length = 512 },
    offset = { type = "integer", min = 0, max = 100000 }, order = { type = "string", enum = { "asc", "desc" } },
  },
  responses = { [200] = { description = "points", schema = schemas.page(POINT) }, [400] = "a parameter is wrong" },
  handler = function(req)
    local p = filters.times(req.params)
    local rows, err
    if not p.bucket then
      rows, err = db.system_metrics:list_json(p)
    elseif not p.since then
      return problem(400, "parameter_invalid", "since is needed with a bucket")
    elseif p.limit or p.cursor or p.offset or p.order then
      return problem(400, "parameter_invalid", "limit, cursor, offset and order go without a bucket")
    else
      rows, err = db.system_metrics:series_json(p)
    end
    if not rows then return problem(err) end
    return reply_raw(200, rows)
  end,
}
