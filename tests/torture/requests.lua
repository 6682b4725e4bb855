--- One request of each kind, for torture.lua: { name, function(t) ... return status end, expected statuses }.
--- `t` is the target: t.e the engine (tests/support/engine.lua), t.acked the ledger, t.ids what earlier requests made.

local engine = require "tests.support.engine"
local socket = require "socket"

local M = {}

local function post_tx(t, path, txs, body, headers)
  local status, answer, fields = t.e:call("POST", path, body, headers)
  if status == 200 and type(answer) == "table" then
    for i, one in ipairs(answer.results or answer.items or { answer }) do   -- a failed one of a batch has a problem's code
      if txs[i] and one.code == nil and one.error == nil then t.acked[#t.acked + 1] = txs[i].hash end
    end
  end
  return status, answer, fields
end

local function some_txs(n)
  local txs = {}
  for i = 1, n do txs[i] = engine.tx { ["from"] = string.format("0x%040x", 4096 + i) } end
  return txs
end

local function get(path) return function(t) return t.e:get(path) end end

local function predict(t)
  local tx = engine.tx()
  t.ids.hash = tx.hash
  return post_tx(t, "/api/v1/predict", { tx }, tx)
end

--- Reads the head of an answer that does not end, then leaves.
local function subscribe(t)
  local c = socket.tcp()
  c:settimeout(10)
  if not c:connect("127.0.0.1", t.e.port) then return nil end
  c:send("GET /api/v1/anomalies/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: " .. t.e.key .. "\r\n\r\n")
  local line = c:receive("*l")
  c:close()
  return line and tonumber(line:match("^HTTP/1.1 (%d+)"))
end

local function stream(t)
  local txs, lines, cjson = some_txs(5), {}, require "cjson"
  for i, tx in ipairs(txs) do lines[i] = cjson.encode(tx) end
  local status, body = t.e:call("POST", "/api/v1/predict/batch", table.concat(lines, "\n") .. "\n",
    { ["Content-Type"] = "application/x-ndjson" })
  if status == 200 then
    for hash, rest in tostring(body):gmatch('"hash":"(0x%x+)"([^\n]*)') do
      if not rest:find('"status":5') and not rest:find('"code"') then t.acked[#t.acked + 1] = hash end
    end
  end
  return status
end

local function user(t)
  t.n = (t.n or 0) + 1
  local status, body = t.e:post("/api/v1/users",
    { email = "torture" .. t.n .. "." .. t.seed .. "@example.org", password = "correct horse battery " .. t.n,
      roles = { "viewer" } })
  if status == 201 then t.ids.user = body.id end
  return status
end

local function key(t)
  local status, body = t.e:post("/api/v1/api-keys", { name = "torture", scopes = { "viewer" } })
  if status == 201 then t.ids.key = body.id end
  return status
end

local function login(t)
  if not t.ids.login then
    t.ids.login = "login." .. t.seed .. "@example.org"
    local status = t.e:post("/api/v1/users", { email = t.ids.login, password = "a long pass phrase", roles = { "admin" } })
    if status ~= 201 then
      t.ids.login = nil
      return status
    end
  end
  local status, body = t.e:post("/api/v1/auth/login", { email = t.ids.login, password = "a long pass phrase" },
    { ["X-API-Key"] = false })
  if status == 200 then t.ids.token, t.ids.refresh = body.access_token, body.refresh_token end
  return status
end

local function with_token(method, path, body)
  return function(t)
    if not t.ids.token and login(t) ~= 200 then return 503 end
    return t.e:call(method, path, type(body) == "function" and body(t) or body,
      { ["X-API-Key"] = false, Authorization = "Bearer " .. t.ids.token })
  end
end

local function with_id(what, make, method, path, body)
  return function(t)
    if not t.ids[what] then make(t) end
    if not t.ids[what] then return 503 end
    return t.e:call(method, (path:gsub("{id}", tostring(t.ids[what]))), body)
  end
end

local function suppress(t)
  local status, body = t.e:post("/api/v1/suppressions",
    { address = "0x00000000000000000000000000000000000000ff", reason = "made by the torture of requests",
      expires_at = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 86400) })
  if status == 201 then t.ids.suppression = body.id end
  return status
end

local function anomaly(t)
  local status, body = t.e:get("/api/v1/anomalies?limit=1")
  if status == 200 and body.items and body.items[1] then t.ids.anomaly = body.items[1].id end
  return status
end

local function candidate(t)
  return t.e:call("PUT", "/api/v1/rules/torture.every/candidate",
    (M.rule:gsub('"1%.0%.0"', '"1.0.' .. math.random(1, 1e6) .. '"')), { ["Content-Type"] = "text/plain" })
end

--- Fires on every second transaction, with state, so that a verdict, an alert and a write to the arena are on the way.
M.rule = [[
return rule {
  id = "torture.every", version = "1.0.0", severity = "low", status = "stable",
  title = "Every second transaction of a sender", description = "For the torture of requests.",
  references = { "none" }, false_positives = { "all" },
  params = { every = 2 }, cooldown = "1s",
  state = function() return { seen = window.count { key = "from", span = "1d" } } end,
  evaluate = function(tx, s, p)
    local n = s.seen:add(tx)
    if n % p.every == 0 then return alert { score = 0.9, dedup = tx.hash, explain = { n = n } } end
  end,
  tests = {
    { name = "quiet at the first", given = { tx { from = A } }, expect = "quiet" },
    { name = "fires at the second", given = { tx { from = A }, tx { from = A } }, expect = "alert" },
  },
}
]]

M.list = {
  { "predict", predict, { 200 } },
  { "predict again", function(t)
    if not t.ids.twice then t.ids.twice = engine.tx() end
    return post_tx(t, "/api/v1/predict", { t.ids.twice }, t.ids.twice)
  end, { 200 } },
  { "predict, malformed", function(t) return t.e:post("/api/v1/predict", '{"hash":') end, { 400 } },
  { "predict, invalid", function(t) return t.e:post("/api/v1/predict", engine.tx { value = "-1" }) end, { 400, 422 } },
  { "batch", function(t)
    local txs = some_txs(20)
    return post_tx(t, "/api/v1/predict/batch", txs, { transactions = txs })
  end, { 200 } },
  { "stream", stream, { 200 } },
  { "anomalies", get "/api/v1/anomalies?limit=5&severity=low", { 200 } },
  { "anomalies, unreviewed", get "/api/v1/anomalies/unreviewed", { 200 } },
  { "anomalies, statistics", get "/api/v1/anomalies/statistics?since=2026-01-01T00:00:00Z", { 200 } },
  { "anomaly", with_id("anomaly", anomaly, "GET", "/api/v1/anomalies/{id}"), { 200 } },
  { "anomaly, evidence", with_id("anomaly", anomaly, "GET", "/api/v1/anomalies/{id}/evidence"), { 200 } },
  { "review", with_id("anomaly", anomaly, "POST", "/api/v1/anomalies/{id}/review",
    { status = "in_review", comment = "looked at" }), { 200, 400, 422 } },
  { "events", subscribe, { 200 } },
  { "transaction", with_id("hash", predict, "GET", "/api/v1/transactions/{id}?include=anomalies,predictions"), { 200 } },
  { "transactions", get "/api/v1/transactions?address=0x00000000000000000000000000000000000000a1&limit=5", { 200 } },
  { "transactions, statistics", get "/api/v1/transactions/statistics?since=2026-01-01T00:00:00Z", { 200 } },
  { "statistics", get "/api/v1/statistics?since=2026-01-01T00:00:00Z", { 200 } },
  { "explain", with_id("hash", predict, "GET", "/api/v1/explain/{id}"), { 200 } },
  { "rules", get "/api/v1/rules", { 200 } },
  { "rule", get "/api/v1/rules/torture.every", { 200 } },
  { "rule, source", get "/api/v1/rules/torture.every/source", { 200 } },
  { "rules, alarms", get "/api/v1/rules/alarms", { 200 } },
  { "ruleset", get "/api/v1/ruleset", { 200 } },
  { "rule, disable", function(t) return t.e:post("/api/v1/rules/torture.every/disable", {}) end,
    { 200, 409 } },
  { "rule, enable", function(t) return t.e:post("/api/v1/rules/torture.every/enable", {}) end,
    { 200, 409 } },
  { "candidate", candidate, { 200, 201, 202 } },
  { "candidate, dropped", function(t) return t.e:call("DELETE", "/api/v1/rules/torture.every/candidate") end,
    { 200, 204, 404, 409 } },
  { "models", get "/api/v1/models", { 200 } },
  { "suppress", suppress, { 201, 200 } },
  { "suppressions", get "/api/v1/suppressions", { 200 } },
  { "login", login, { 200 } },
  { "login, wrong", function(t)
    return t.e:post("/api/v1/auth/login", { email = "nobody." .. t.seed .. math.random(1e9) .. "@example.org",
      password = "wrong pass phrase" }, { ["X-API-Key"] = false })
  end, { 401 } },
  { "me", with_token("GET", "/api/v1/auth/me"), { 200 } },
  { "sessions", with_token("GET", "/api/v1/auth/sessions"), { 200 } },
  { "refresh", function(t)
    if not t.ids.refresh and login(t) ~= 200 then return 503 end
    local token = t.ids.refresh
    t.ids.refresh, t.ids.token = nil, nil
    return t.e:post("/api/v1/auth/refresh", { refresh_token = token }, { ["X-API-Key"] = false })
  end, { 200 } },
  { "unknown key", function(t)
    return t.e:get("/api/v1/rules", { ["X-API-Key"] = "cw_live_" .. ("x"):rep(36) })
  end, { 401 } },
  { "user", user, { 201 } },
  { "users", get "/api/v1/users", { 200 } },
  { "user, off", with_id("user", user, "DELETE", "/api/v1/users/{id}"), { 200, 204 } },
  { "key", key, { 201 } },
  { "keys", get "/api/v1/api-keys", { 200 } },
  { "key, revoked", with_id("key", key, "DELETE", "/api/v1/api-keys/{id}"), { 200, 204 } },
  { "audit", get "/api/v1/audit-logs?limit=5", { 200 } },
  { "audit, statistics", get "/api/v1/audit-logs/statistics", { 200 } },
  { "jobs", get "/api/v1/jobs", { 200 } },
  { "job", function(t) return t.e:post("/api/v1/jobs/partitions/run", "") end, { 200, 202, 409 } },
  { "retention", get "/api/v1/admin/retention", { 200 } },
  { "sources", get "/api/v1/sources", { 200 } },
  { "deliveries", get "/api/v1/deliveries", { 200 } },
  { "system metrics", get "/api/v1/metrics/system/names", { 200 } },
  { "health", get "/health", { 200, 503 } },
  { "ready", get "/health/ready", { 200 } },
  { "metrics", get "/metrics", { 200 } },
  { "openapi", get "/openapi.json", { 200 } },
  { "no such path", get "/api/v1/nothing", { 404 } },
  { "lua", function(t) return t.e:post("/api/v1/admin/lua?world=rules", "return 1 + 1", { ["Content-Type"] = "text/plain" }) end, { 200 } },
  { "reload", function(t) return t.e:post("/api/v1/admin/reload", "") end, { 200 } },
}

return M
