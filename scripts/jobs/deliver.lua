--- Brings alerts to their receivers: at least once, in the order in which they came, each target at its own pace.
---
--- A commit leaves one row in outbox for an event. *Routing* makes a row for each target that wants it, in one
--- transaction with ending the first; *sending* takes a target's due rows for a while, sends, and ends them or says
--- when to try again. What a sender that died had taken is due again after its lease.
---
--- Messages of all targets are under way side by side, and nobody waits for another: a target has a *lane*, of one
--- message at first, of up to LANE as long as it takes them, of one again when it fails.
local delivery = require "lib.delivery"
local formats = require "lib.formats"

local ROUND = 200           -- events routed at once
local LEASE = 120           -- seconds: more than a message can take
local REST = 1              -- seconds between two looks
local LANE = 8              -- messages of a target under way at most
local RUN = 57              -- seconds; the next run begins a few seconds after it at most
local SLOW = 1              -- seconds: a message that takes longer is not waited for with new ones at the end of a run

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

--- What is known of a target in this run.
local function lane_of(lanes, name)
  local lane = lanes[name] or { busy = 0, limit = 1, spent = 0, next_look = 0, slow = false }
  lanes[name] = lane
  return lane
end

local function begin(sender, target, rows, owners)
  local events, tag = {}, rows[1].event_id .. "/" .. target.name
  for i, row in ipairs(rows) do events[i] = event_of(row) end
  owners[tag] = { target = target, rows = rows, since = time.now() }
  if target.format == "email" then
    local text, subject = formats.email(target, events)
    http.begin_mail(sender, tag, { url = target.url, user = target.user, password = target.password, from = target.from,
      to = target.to or {}, subject = subject, text = text, timeout_ms = target.timeout_ms or 30000 })
  else
    http.begin(sender, tag, delivery.request(target, rows[1].event_id, events, time.now()))
  end
end

--- Begins what is due and has room. A mail holds a worker thread: one at a time for each target.
local function fill(sender, targets, lanes, owners, closing, worker)
  local sent = 0
  for _, target in ipairs(targets) do
    local lane = lane_of(lanes, target.name)
    local most = target.format == "email" and 1 or lane.limit
    local room = math.min(most - lane.busy, (target.per_minute or 60) - lane.spent)
    if room > 0 and lane.next_look <= time.now() and not (closing and lane.slow) then
      local size = formats.single[target.format] and 1 or target.group or 1
      local page = db.outbox:claim { target = target.name, limit = math.min(room * size, 1000), lease_s = LEASE,
        worker = worker }
      local list = page and page.items[1] and messages(target, page.items) or {}
      if #list == 0 then lane.next_look = time.now() + REST end
      for _, rows in ipairs(list) do
        begin(sender, target, rows, owners)
        lane.busy, lane.spent, sent = lane.busy + 1, lane.spent + 1, sent + 1
      end
    end
  end
  return sent
end

local function take(answers, lanes, owners)
  for _, answer in ipairs(answers) do
    local owner = owners[answer.tag]
    local lane = lane_of(lanes, owner.target.name)
    local reason, hopeless
    if owner.target.format == "email" then
      reason = answer.error and answer.error.message
      hopeless = answer.error and answer.error.code == "invalid"
    else
      reason, hopeless = delivery.fault(answer)
    end
    owners[answer.tag] = nil
    lane.busy = lane.busy - 1
    lane.slow = reason ~= nil or time.now() - owner.since > SLOW
    lane.limit = reason and 1 or math.min(lane.limit * 2, LANE)
    finish(owner.target, owner.rows, reason, hopeless, answer.retry_after)
  end
end

local function anything(owners, since)
  for _, owner in pairs(owners) do
    if owner.since <= since then return true end
  end
  return false
end

job {
  name = "deliver", summary = "brings alerts to the targets of the setting deliver",
  every = "5s", timeout = "5m",
  run = function(ctx)
    local sender, lanes, owners = http.sender(), {}, {}
    local began, next_route, sent, routed = time.now(), 0, 0, 0
    local minute, last, broken = began, began, nil
    while true do
      local now = time.now()
      if now < last then                       -- the clock was set back: this run ends
        began, next_route = now - RUN, 0
        for _, lane in pairs(lanes) do lane.next_look = 0 end
      end
      last = now
      if now - minute >= 60 then
        minute = now
        for _, lane in pairs(lanes) do lane.spent = 0 end
      end
      local closing = now - began >= RUN
      local targets, err = delivery.targets()
      if not targets then return nil, err end
      -- Only quick ones are left: they end it. What is under way is waited for also where the database failed.
      if broken or closing and not anything(owners, now - SLOW) then targets = {} end
      if next_route <= now and targets[1] then
        local n, fault = route(targets)
        broken, routed = fault, routed + (n or 0)
        if n ~= ROUND then next_route = now + REST end
        if (n or 0) > 0 then for _, lane in pairs(lanes) do lane.next_look = 0 end end
      end
      sent = sent + fill(sender, targets, lanes, owners, closing, ctx.worker)
      if next(owners) then
        take(http.finished(sender, REST), lanes, owners)
      elseif broken then
        return nil, broken
      elseif closing then
        return { routed = routed, sent = sent }
      else
        time.sleep(REST)
      end
    end
  end,
}
