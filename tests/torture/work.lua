--- What an engine does beside requests, for torture.lua: reloads by a signal, a chain that it follows, alerts on their way to a
--- receiver, lists of labels; and requests over TLS. Each looks like one of requests.lua: a function of the target that
--- returns 200 once the work is done, 503 if it was refused with a word.

local engine = require "tests.support.engine"
local hostile = require "tests.support.hostile"
local socket = require "socket"

local M = {}

local function within(seconds, fn)
  local till = socket.gettime() + seconds
  repeat
    local result = fn()
    if result then return result end
    socket.sleep(0.02)
  until socket.gettime() > till
end

local function metric(t, name)
  local status, text = t.e:get("/metrics")
  return status == 200 and tonumber(text:match("\n" .. name .. " (%d+)") or 0) or nil
end

-- Refused with a word, or taken: which one, the metrics tell.
local function hang_up(t)
  local taken, refused = 'chainwatch_reloads_total{result="success"}', 'chainwatch_reloads_total{result="failure"}'
  local good, bad = metric(t, taken), metric(t, refused)
  if not good then return 503 end
  os.execute("kill -HUP " .. t.e.pid)
  return within(20, function()
    local now, no = metric(t, taken), metric(t, refused)
    return now and (now > good and 200 or no > bad and 503)
  end)
end

--- Until the tables stand where the node stands.
local function followed(t)
  local head = M.nodes:op("head", { chain = 0 })
  return within(30, function()
    local status, body = t.e:get("/api/v1/sources")
    local s = status == 200 and body.sources[1]
    return s and s.state == "running" and s.block == head.number and 200
  end)
end

local function block(t)
  M.nodes:op("grow", { chain = 0, n = 1, txs = 2 })
  return followed(t)
end

local function fork(t)
  M.nodes:op("fork", { chain = 0, depth = 1, grow = 2 })
  return followed(t)
end

--- The rule fires on the second transaction of a sender: that alert is to arrive.
local function deliver(t)
  t.senders = (t.senders or 0) + 1
  local from = string.format("0x%040x", 0x7000000 + t.senders)
  for i = 1, 2 do
    local tx = engine.tx { ["from"] = from }
    if not within(15, function() return t.e:post("/api/v1/predict", tx) == 200 end) then return nil end
    t.acked[#t.acked + 1] = tx.hash
    if i == 2 then t.last = tx.hash end
  end
  return within(40, function()
    t.e:post("/api/v1/jobs/deliver/run", "")       -- its own begins with the next minute
    return within(1, function() return (engine.read(M.received) or ""):find(t.last, 1, true) and 200 end)
  end)
end

local function import(t)
  t.labels = (t.labels or 0) + 1
  return t.e:call("POST", "/api/v1/labels/torture/import", string.format("address,category,name\n0x%040x,exchange,n%d\n", t.labels,
    t.labels), { ["Content-Type"] = "text/csv" })
end

M.list = {
  { "hang-up", hang_up, { 200 } },
  { "block", block, { 200 } },
  { "fork", fork, { 200 } },
  { "delivery", deliver, { 200 } },
  { "labels", import, { 200 } },
}

--- Node, receiver and settings; returns the flags of `serve`.
function M.prepare(run)
  M.nodes = hostile.start { chains = 1 }
  M.nodes:op("grow", { chain = 0, n = 4, txs = 2 })
  M.received = run.dir .. "/received"
  os.execute(("node tests/support/receiver.mjs %s >%s/ports 2>&1 & echo $! >%s/receiver.pid"):format(M.received, run.dir, run.dir))
  local port = engine.wait("the receiver", 20, function() return (engine.read(run.dir .. "/ports") or ""):match("(%d+) %d+\n") end)
  engine.write(run.dir .. "/work.lua", string.format([[
return {
  source = { { name = "chain", chain_id = 9000, start = 0, poll_ms = 50, endpoints = { "%s" } } },
  deliver = { { name = "hook", url = "http://127.0.0.1:%s/ok", allow_private = true, per_minute = 60000 } },
}]], M.nodes:url(0), port))
  return "--config " .. run.dir .. "/work.lua"
end

function M.release(run)
  M.nodes:stop()
  os.execute("kill " .. (engine.read(run.dir .. "/receiver.pid") or ""))
end

--- At the end: what the chain holds is to be in the tables, once, like what clients were told of.
function M.settle(t)
  followed(t)
  local cjson, number = require "cjson", M.nodes:op("head", { chain = 0 }).number
  for n = 0, number do
    local c = assert(socket.connect("127.0.0.1", M.nodes.port))
    local body = cjson.encode { jsonrpc = "2.0", id = 1, method = "eth_getBlockByNumber", params = { string.format("0x%x", n), true } }
    c:send(string.format("POST /c/0 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", #body, body))
    local _, answer = engine.parse((c:receive("*a")))
    c:close()
    for _, tx in ipairs(answer.result.transactions) do t.acked[#t.acked + 1] = tx.hash end
  end
end

-- --- TLS ---

local function https(method, path, body)
  return function(t)
    local data = ""
    if body then
      engine.write(t.e.dir .. "/body.json", require "cjson".encode(type(body) == "function" and body(t) or body))
      data = "-H 'Content-Type: application/json' --data-binary @" .. t.e.dir .. "/body.json"
    end
    local code, text = engine.run(string.format("curl -sk -m 20 -o /dev/null -w '%%{http_code}\\n' -X %s -H 'X-API-Key: %s' %s https://127.0.0.1:%d%s",
      method, t.e.key, data, t.e.port, path))
    if code ~= 0 then return nil, text end      -- the connection was cut
    local status = tonumber(text:match("%d+"))
    if body and status == 200 then t.acked[#t.acked + 1] = t.sent end
    return status
  end
end

local function one_tx(t)
  local tx = engine.tx()
  t.sent = tx.hash
  return tx
end

M.tls = {
  { "get", https("GET", "/api/v1/ruleset"), { 200 } },
  { "post", https("POST", "/api/v1/predict", one_tx), { 200 } },
  { "reload", https("POST", "/api/v1/admin/reload"), { 200 } },
}

function M.certificate(run)
  local code, text = engine.run(string.format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
    .. "-subj /CN=torture.test -keyout %s/key.pem -out %s/cert.pem", run.dir, run.dir))
  assert(code == 0, text)
  return string.format("--set http.tls_cert=%s/cert.pem --set http.tls_key=%s/key.pem", run.dir, run.dir)
end

return M
