--- Deliveries: which target wants an event, how a message is signed, when it is tried again.
local formats = require "lib.formats"

local M = {}

local RANK = { low = 1, medium = 2, high = 3, critical = 4 }

--- "eth.*" fits "eth.fan_out"; a * stands for anything.
local function fits(pattern, text)
  local star = pattern:find("*", 1, true)
  if not star then return pattern == text end
  local first = pattern:sub(1, star - 1)
  if text:sub(1, #first) ~= first then return false end
  local at, rest = #first + 1, pattern:sub(star)
  while true do
    local piece = rest:match("^%*([^*]*)")
    rest = rest:sub(#piece + 2)
    if rest == "" then return #text - at + 1 >= #piece and text:sub(#text - #piece + 1) == piece end
    local from, to = text:find(piece, at, true)
    if not from then return false end
    at = to + 1
  end
end
M.fits = fits

local function any(patterns, text)
  for _, p in ipairs(patterns) do
    if fits(p, text) then return true end
  end
  return false
end

local function any_tag(patterns, tags)
  for _, tag in ipairs(tags or {}) do
    if any(patterns, tag) then return true end
  end
  return false
end

--- Does the alert rest on an entry of a list that fits by its name or the entry's category?
local function any_label(patterns, labels)
  for _, label in ipairs(labels or {}) do
    local fit = any(patterns, label.list) or any(patterns, label.category or "")
    if fit and label.use == "evidence" then return true end
  end
  return false
end

--- Whether the target wants an event of this kind about this alert. `tags` are the rule's.
function M.wants(target, kind, alert, tags)
  if target.events and not any(target.events, kind) then return false end
  if target.min_severity and RANK[alert.severity] < RANK[target.min_severity] then return false end
  if target.rules and not any(target.rules, alert.rule) then return false end
  if target.not_rules and any(target.not_rules, alert.rule) then return false end
  local chain = alert.transaction and alert.transaction.chainId or ""
  if target.chains and not any(target.chains, chain) then return false end
  if target.labels and not any_label(target.labels, alert.labels) then return false end
  return not target.tags or any_tag(target.tags, tags)
end

--- Seconds until attempt n + 1 (Standard Webhooks' schedule), a fifth more or less.
local WAITS = { 5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400 }
function M.wait_after(attempts, luck)
  local s = WAITS[math.min(attempts, #WAITS)]
  return s * (0.8 + 0.4 * luck)
end

--- Headers of Standard Webhooks 1.0: one signature for each secret.
function M.sign(secrets, id, timestamp, body)
  local list = {}
  for i, secret in ipairs(secrets) do
    local key = crypto.unbase64((secret:gsub("^whsec_", ""))) or secret
    list[i] = "v1," .. crypto.base64(crypto.hmac_sha256(key, id .. "." .. timestamp .. "." .. body))
  end
  return table.concat(list, " ")
end

--- The request that brings events to a target.
function M.request(target, id, events, now)
  local format = formats[target.format or "generic"]
  local body, content_type = format(target, events)
  local stamp = ("%d"):format(now)
  local headers = { ["Content-Type"] = content_type, ["User-Agent"] = "chainwatch/" .. engine.version,
    ["webhook-id"] = id, ["webhook-timestamp"] = stamp }
  if target.secrets then headers["webhook-signature"] = M.sign(target.secrets, id, stamp, body) end
  for name, value in pairs(target.headers or {}) do headers[name] = value end
  return { method = "POST", url = target.url, headers = headers, body = body, timeout_ms = target.timeout_ms or 10000,
    max_bytes = 4096, cut = true, allow_private = target.allow_private or false }
end

--- What an answer means: nil for delivered, else reason, and true if trying again is of no use.
function M.fault(answer)
  if answer.error then return answer.error.message, false end
  if answer.status >= 200 and answer.status < 300 then return nil end
  return ("answered %d: %s"):format(answer.status, answer.body:sub(1, 200):gsub("[%c]", " ")), answer.status == 410
end

--- The targets of the settings, by name too.
function M.targets()
  local text, err = engine.call("deliver.targets")
  if not text then return nil, err end
  local list = json.decode(text)
  local by_name = {}
  for _, t in ipairs(list) do by_name[t.name] = t end
  return list, by_name
end

return M
