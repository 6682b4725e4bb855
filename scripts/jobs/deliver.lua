--- Brings alerts to their receivers: at least once, in the order in which they came, each target at its own pace.
---
--- A commit leaves one row in outbox for an event. *Routing* makes a row for each target that wants it, in one
--- transaction with ending the first; *sending* takes a target's due rows for a while, sends, and ends them or says
--- when to try again. What a sender that died had taken is due again after its lease.
local delivery = require "lib.delivery"
local formats = require "lib.formats"

local ROUND = 200           -- events routed at once
local LEASE = 120           -- seconds: more than a message can take
local REST = 1              -- seconds between two looks

local function tags_by_rule()
  local tags = {}
  local set = json.decode(engine.ruleset())
  for _, rule in ipairs(set and set.rules or {}) do tags[rule.id] = rule.tags end
  return tags
end

local function route(targets)
  local tags = tags_by_rule()
  return db.transaction(function()
    local page, err = db.outbox:due { limit = ROUND, routed = false }
    if not page then return nil, err end
    for _, row in ipairs(page.items) do
      local alert = row.anomaly_id ~= json.null and db.anomalies:get { id = row.anomaly_id }
      for _, target in ipairs(alert and targets or {}) do
        if delivery.wants(target, row.kind, alert, tags[alert.rule]) then
          local ok, fault = db.outbox:create { target = target.name, anomaly_id = row.anomaly_id, kind = row.kind,
            event_of = row.id, payload = { at = row.created_at, alert = alert } }
          if not ok then return nil, fault end
        end
      end
      local ok, fault = db.outbox:delivered { id = row.id }
      if not ok then return nil, fault end
    end
    return #page.items
  end)
end

local function event_of(row)
  return { id = row.event_id, kind = row.kind, at = row.payload.at, alert = row.payload.alert }
end

--- Messages of a target: lists of rows.
local function messages(target, rows)
  local size = formats.single[target.format] and 1 or target.group or 1
  local list = {}
  for i, row in ipairs(rows) do
    if (i - 1) % size == 0 then list[#list + 1] = {} end
    table.insert(list[#list], row)
  end
  return list
end

local function finish(target, rows, reason, hopeless, retry_after)
  for _, row in ipairs(rows) do
    if not reason then
      db.outbox:delivered { id = row.id }
    else
      local attempts = row.attempts + 1
      local wait = math.max(delivery.wait_after(attempts, math.random()), retry_after or 0)
      local again = not hopeless and attempts < (target.max_attempts or 12)
      db.outbox:failed { id = row.id, error = reason, retry_at = again and time.format(time.now() + wait) or nil }
      if not again then
        log.warn("delivery given up", { target = target.name, event = row.event_id, reason = reason })
      end
    end
  end
end

local function send_mail(target, rows)
  local events = {}
  for i, row in ipairs(rows) do events[i] = event_of(row) end
  local text, subject = formats.email(target, events)
  local ok, err = http.mail { url = target.url, user = target.user, password = target.password, from = target.from,
    to = target.to or {}, subject = subject, text = text, timeout_ms = target.timeout_ms or 30000 }
  finish(target, rows, not ok and err.message or nil, not ok and err.code == "invalid")
end

--- Sends what is due, all targets side by side. `spent` counts messages of this minute by target.
local function send(targets, spent, worker)
  local requests, owners = {}, {}
  for _, target in ipairs(targets) do
    local left = (target.per_minute or 60) - (spent[target.name] or 0)
    local most = math.min(left, 8) * (formats.single[target.format] and 1 or target.group or 1)
    local page = most > 0 and db.outbox:claim { target = target.name, limit = most, lease_s = LEASE, worker = worker }
    for _, rows in ipairs(page and page.items[1] and messages(target, page.items) or {}) do
      spent[target.name] = (spent[target.name] or 0) + 1
      if target.format == "email" then
        send_mail(target, rows)
      else
        local events = {}
        for i, row in ipairs(rows) do events[i] = event_of(row) end
        requests[#requests + 1] = delivery.request(target, rows[1].event_id, events, time.now())
        owners[#owners + 1] = { target = target, rows = rows }
      end
    end
  end
  for from = 1, #requests, 64 do
    local part = {}
    for i = from, math.min(from + 63, #requests) do part[#part + 1] = requests[i] end
    for i, answer in ipairs(http.requests(part)) do
      local owner = owners[from + i - 1]
      local reason, hopeless = delivery.fault(answer)
      finish(owner.target, owner.rows, reason, hopeless, answer.retry_after)
    end
  end
  return #requests
end

job {
  name = "deliver", summary = "brings alerts to the targets of the setting deliver",
  every = "1m", timeout = "5m",
  run = function(ctx)
    local sent, routed, spent = 0, 0, {}
    local from = time.now()
    repeat
      local targets, by_name = delivery.targets()
      if not targets then return nil, by_name end
      if #targets == 0 then return { routed = 0, sent = 0 } end
      local n, err = route(targets)
      if not n then return nil, err end
      local m = send(targets, spent, ctx.worker)
      routed, sent = routed + n, sent + m
      if n == 0 and m == 0 then time.sleep(REST) end
    until time.now() >= from + 57 or time.now() < from     -- or the clock was set back
    return { routed = routed, sent = sent }
  end,
}
