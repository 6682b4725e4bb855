--- Keeps samples of the engine's own metrics in system_metrics, so that their past can be asked for without Prometheus.

-- Families that are worth a row a minute: gauges and counters, no histograms.
local KEPT = {
  "^chainwatch_db_", "^chainwatch_pipeline_", "^chainwatch_evaluator_", "^chainwatch_http_connections",
  "^chainwatch_state_",
  "^chainwatch_outbox_", "^process_resident_memory_bytes$", "^process_cpu_seconds_total$", "^process_open_fds$",
}
local LEFT_OUT = { "_bucket$", "_sum$", "_count$", "^chainwatch_db_query_" }

local function matches(name, patterns)
  for _, p in ipairs(patterns) do
    if name:find(p) then return true end
  end
  return false
end

local function tags_of(text)
  local tags = {}
  for key, value in text:gmatch('([%w_]+)="([^"]*)"') do tags[key] = value end
  return tags
end

job {
  name = "metrics_sample", summary = "samples the engine's metrics into system_metrics",
  every = "1m", jitter = "5s", timeout = "50s",
  run = function()
    local samples = json.array {}
    for name, labels, value in engine.metrics():gmatch("([%a_:][%w_:]*)({?[^\n]-}?) ([^ \n]+)\n") do
      local n = tonumber(value)
      if n and n == n and n < math.huge and n > -math.huge and matches(name, KEPT) and not matches(name, LEFT_OUT) then
        samples[#samples + 1] = { name = name, value = n, tags = tags_of(labels) }
      end
    end
    local ok, err = db.system_metrics:append { samples = samples }
    if not ok then return nil, err end
    return { samples = #samples }
  end,
}
