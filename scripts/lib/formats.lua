--- What a receiver of alerts is sent: one function for each format of the setting `deliver`. Pure functions.
---
--- A format takes a target and a list of events (more than one only where the target has `group`) and gives
--- body, content type. An event is { id, kind, at, alert = row of GET /anomalies/{id} }; kind is new, updated,
--- retracted, reborn or label_withdrawn. Add one here, name it in the settings.
local M = {}

local COLOURS = { low = 0x3b82f6, medium = 0xeab308, high = 0xf97316, critical = 0xdc2626 }
local WORDS = { new = "", updated = "rose to ", retracted = "retracted: ", reborn = "again: ",
  label_withdrawn = "label withdrawn, open again: " }

local function headline(event)
  local a = event.alert
  return ("%s%s: %s"):format(WORDS[event.kind], a.severity, a.title)
end
M.headline = headline

--- Control characters and what a chat would read as markup or as a mention are taken away.
local function plain(text)
  text = tostring(text):gsub("[%c]", " "):gsub("[<>&@`*_~|\\]", "")
  return text
end

local function details(event)
  local a, t = event.alert, event.alert.transaction
  local lines = { a.explanation, ("rule %s %s, score %.2f, seen %s times"):format(a.rule, a.rule_version, a.score,
    tostring(a.occurrences or 1)) }
  if a.entity and a.entity ~= json.null then
    lines[#lines + 1] = ("%s %s"):format(a.role or "unknown", a.entity)
  end
  for _, l in ipairs(a.labels or {}) do
    local use = l.use == "suppression" and "hidden by" or "label"
    lines[#lines + 1] = ("%s %s: %s%s (list %s, version %s)%s"):format(use, l.address,
      l.category ~= "" and l.category or "no category", l.name ~= "" and ", " .. l.name or "",
      l.list,
      l.version == 0 and "file " .. l.file or tostring(l.last_version or l.version),
      l.withdrawn_at and l.withdrawn_at ~= json.null and ", withdrawn" or "")
  end
  if t then
    lines[#lines + 1] = ("chain %s block %s tx %s"):format(t.chainId, t.blockNumber, t.hash)
    lines[#lines + 1] = ("%s -> %s"):format(t.from, t.to ~= json.null and t.to or "contract creation")
  end
  return lines
end

local function data_of(event)
  return { event = event.kind, alert = event.alert }
end

function M.generic(_, events)
  local list = json.array {}
  for i, e in ipairs(events) do
    list[i] = { id = e.id, type = "anomaly." .. e.kind, timestamp = e.at, data = data_of(e) }
  end
  return json.encode(#events == 1 and list[1] or { type = "anomaly.batch", timestamp = events[1].at, events = list }),
    "application/json"
end

--- CloudEvents 1.0, structured mode; several as a batch.
function M.cloudevents(_, events)
  local list = json.array {}
  for i, e in ipairs(events) do
    list[i] = {
      specversion = "1.0", id = e.id, type = "io.chainwatch.anomaly." .. e.kind,
      source = "/chainwatch/rules/" .. e.alert.rule, subject = "anomalies/" .. tostring(e.alert.id), time = e.at,
      datacontenttype = "application/json", data = data_of(e),
    }
  end
  if #events == 1 then return json.encode(list[1]), "application/cloudevents+json" end
  return json.encode(list), "application/cloudevents-batch+json"
end

--- Slack: incoming webhooks. 50 blocks at most.
function M.slack(_, events)
  local blocks = json.array {}
  for i = 1, math.min(#events, 40) do
    local lines = details(events[i])
    for k, line in ipairs(lines) do lines[k] = plain(line) end
    blocks[#blocks + 1] = { type = "section", text = { type = "mrkdwn",
      text = ("*%s*\n%s"):format(plain(headline(events[i])), table.concat(lines, "\n")):sub(1, 2900) } }
  end
  local text = plain(headline(events[1]))
  if #events > 1 then text = ("%s, and %d more"):format(text, #events - 1) end
  return json.encode { text = text, blocks = blocks }, "application/json"
end

--- Discord: webhooks. 10 embeds at most; nobody is mentioned.
function M.discord(_, events)
  local embeds = json.array {}
  for i = 1, math.min(#events, 10) do
    local e = events[i]
    embeds[i] = { title = headline(e):sub(1, 250), description = table.concat(details(e), "\n"):sub(1, 4000),
      color = COLOURS[e.alert.severity], timestamp = e.at }
  end
  local content = #events > 10 and ("and %d more"):format(#events - 10) or nil
  return json.encode { content = content, embeds = embeds, allowed_mentions = { parse = json.array {} } },
    "application/json"
end

local PAGER = { low = "info", medium = "warning", high = "error", critical = "critical" }

--- PagerDuty Events API v2: one incident for each alert, resolved when it is retracted. One event a message.
function M.pagerduty(target, events)
  local e = events[1]
  return json.encode {
    routing_key = target.routing_key or "", dedup_key = "chainwatch-" .. tostring(e.alert.id),
    event_action = e.kind == "retracted" and "resolve" or "trigger", client = "chainwatch",
    payload = { summary = headline(e):sub(1, 1024), source = "chainwatch", severity = PAGER[e.alert.severity],
      timestamp = e.at, component = e.alert.rule, class = e.kind, custom_details = e.alert },
  }, "application/json"
end

--- Alertmanager: POST /api/v2/alerts.
function M.alertmanager(_, events)
  local list = json.array {}
  for i, e in ipairs(events) do
    local a = e.alert
    list[i] = {
      labels = { alertname = a.rule, severity = a.severity, anomaly = tostring(a.id), dedup = a.dedup_key or "",
        chain = a.transaction and a.transaction.chainId or "", role = a.role or "unknown" },
      annotations = { summary = a.title, description = a.explanation },
      startsAt = a.detected_at, endsAt = e.kind == "retracted" and e.at or nil,
    }
  end
  return json.encode(list), "application/json"
end

--- E-mail: subject, text.
function M.email(_, events)
  local lines = {}
  for _, e in ipairs(events) do
    lines[#lines + 1] = headline(e)
    for _, line in ipairs(details(e)) do lines[#lines + 1] = "  " .. line end
    lines[#lines + 1] = ""
  end
  local subject = "[chainwatch] " .. headline(events[1])
  if #events > 1 then subject = ("%s, and %d more"):format(subject, #events - 1) end
  return table.concat(lines, "\n"), subject
end

--- Formats that take one event a message.
M.single = { pagerduty = true }

return M
