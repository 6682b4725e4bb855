--- An alert that lives: it gains evidence instead of repeating, over restarts too; suppressions hide it and end.

local engine = require "tests.support.engine"
local cjson = require "cjson"
local socket = require "socket"

local RULE = [[
return rule {
  id = "test.big", version = "1.0.0", severity = "medium", title = "Big", description = "Anything above ten ether.",
  cooldown = "10m",
  evaluate = function(tx)
    if tx.ether > 10 then
      return alert { score = tx.ether / 1000, dedup = tx.from, severity = tx.ether > 100 and "critical" or nil,
        explain = { ether = tx.ether } }
    end
  end,
  tests = {
    { name = "fires once", given = txs { n = 3, ether = 11 }, expect = { alerts = 3, living = 1 } },
    { name = "quiet", given = tx {}, expect = "quiet" },
  },
}
]]

local T0 = 1780000000
local A, B = "0x00000000000000000000000000000000000a11ce", "0x0000000000000000000000000000000000000b0b"

local function send(e, at, with)
  with = with or {}
  with.timestamp, with.from = T0 + at, with.from or A
  with.value = (with.ether or 20) .. string.rep("0", 18)
  with.ether = false
  local status, verdict = e:post("/api/v1/predict", engine.tx(with))
  assert.equal(200, status)
  return verdict, verdict.alerts[1]
end

local function listen(e)
  local c = assert(socket.tcp())
  c:settimeout(10)
  assert(c:connect("127.0.0.1", e.port))
  c:send("GET /api/v1/anomalies/stream HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " .. e.key .. "\r\n\r\n")
  local text = ""
  engine.wait("the stream to begin", 5, function()
    c:settimeout(0.05)
    local _, _, part = c:receive(4096)
    text = text .. (part or "")
    return text:find("retry: ", 1, true)
  end)
  return function(what, n)
    engine.wait(n .. " events of " .. what, 10, function()
      c:settimeout(0.05)
      local all, _, part = c:receive(4096)
      text = text .. (all or part or "")
      return select(2, text:gsub("event: " .. what .. "\n", "")) >= n
    end)
    return text
  end
end

describe("living alerts", function()
  local dir, rules, e
  before_each(function()
    dir = engine.tmpdir()
    rules = engine.tmpdir()
    engine.write(rules .. "/big.lua", RULE)
    e = engine.start { dir = dir, sets = { "rules.dir=" .. rules } }
  end)
  after_each(function()
    if e:alive() then e:stop() end
    os.execute("rm -rf " .. dir .. " " .. rules)
  end)

  it("grow while they last, tell only what is new, and are one row", function()
    local events = listen(e)
    local _, first = send(e, 0)
    assert.is_true(first.new)
    for i = 1, 6 do
      local verdict, more = send(e, 60 * i)
      assert.is_true(verdict.is_anomaly)
      assert.is_false(more.new)
      assert.equal(first.id, more.id)
    end
    local _, worst = send(e, 420, { ether = 500 })
    assert.equal(first.id, worst.id)
    local text = events("anomaly.updated", 3)
    assert.equal(1, select(2, text:gsub("event: anomaly\n", "")))    -- new once; told again at 2, 4 and 8 fires
    local _, row = e:get("/api/v1/anomalies/" .. first.id)
    assert.equal(8, row.occurrences)
    assert.equal("critical", row.severity)
    assert.equal(500, row.features.ether)
    assert.equal(T0 + 420, tonumber(e:sql("SELECT extract(epoch FROM last_seen)::bigint FROM anomalies")))
    assert.equal("1|8", e:sql("SELECT (SELECT count(*) FROM anomalies), (SELECT count(*) FROM anomaly_evidence)"))

    local _, page = e:get("/api/v1/anomalies/" .. first.id .. "/evidence?limit=5")
    assert.equal(5, #page.items)
    assert.equal("critical", page.items[1].severity)
    local _, rest = e:get("/api/v1/anomalies/" .. first.id .. "/evidence?limit=5&cursor=" .. page.next)
    assert.equal(3, #rest.items)
    local _, tx = e:get("/api/v1/transactions/" .. page.items[2].transaction.hash .. "?include=anomalies")
    assert.equal(first.id, tx.anomalies[1].id)
    local _, found = e:get("/api/v1/anomalies?hash=" .. page.items[2].transaction.hash)
    assert.equal(first.id, found.items[1].id)

    local _, next_one = send(e, 421 + 600)
    assert.is_true(next_one.new)
    assert.is_true(next_one.id > first.id)
    local _, other = send(e, 1022, { from = B })
    assert.is_true(other.new)
  end)

  it("say the same to whoever asks again, and survive kill -9 without counting twice", function()
    local _, first = send(e, 0)
    local tx = engine.tx { timestamp = T0 + 5, from = A, value = "30" .. string.rep("0", 18) }
    local _, once = e:post("/api/v1/predict", tx)
    local _, again = e:post("/api/v1/predict", tx)
    assert.is_true(again.duplicate)
    assert.is_false(again.alerts[1].new)
    assert.equal(once.alerts[1].id, again.alerts[1].id)
    assert.equal(30, again.alerts[1].features.ether)
    e:kill("KILL")
    e = engine.start { dir = dir, sets = { "rules.dir=" .. rules } }
    local _, after = send(e, 10)
    assert.equal(first.id, after.id)
    assert.is_false(after.new)
    assert.equal("3|3", e:sql("SELECT occurrences, (SELECT count(*) FROM anomaly_evidence) FROM anomalies"))
  end)

  it("are made anew when retention has deleted the row", function()
    local _, first = send(e, 0)
    send(e, 1)
    e:sql("DELETE FROM anomalies")
    local _, anew = send(e, 2)
    assert.is_true(anew.new)
    assert.is_true(anew.id > first.id)
    local _, more = send(e, 3)
    assert.equal(anew.id, more.id)
    assert.equal("2", e:sql("SELECT occurrences FROM anomalies"))
  end)

  it("are counted once each when many come in one batch", function()
    local txs = {}
    for i = 1, 200 do
      txs[i] = engine.tx { timestamp = T0 + i, from = i % 2 == 0 and A or B, value = "20" .. string.rep("0", 18) }
    end
    local status, answer = e:post("/api/v1/predict/batch", { transactions = txs })
    assert.equal(200, status)
    local new = 0
    for _, r in ipairs(answer.results) do if r.alerts[1].new then new = new + 1 end end
    assert.equal(2, new)
    assert.equal("100\n100", e:sql("SELECT occurrences FROM anomalies ORDER BY id"))
    assert.equal("200", e:sql("SELECT count(*) FROM anomaly_evidence"))
  end)

  it("are hidden by a suppression, which is audited, counted, and ends", function()
    local soon = os.time() + 3600
    local function refused(what, body)
      local status, problem = e:post("/api/v1/suppressions", body)
      assert.equal(422, status)
      assert.is_truthy(cjson.encode(problem):find(what, 1, true), cjson.encode(problem))
    end
    refused("is required", { address = A, reason = "x" })
    refused("names a rule, an address or a dedup key", { reason = "x", expires_at = soon })
    refused("not in the future", { reason = "x", address = A, expires_at = 1 })
    refused("more than a year", { reason = "x", address = A, expires_at = os.time() + 400 * 86400 })
    refused('a test of rule \\"test.big\\"', { reason = "x", rule = "test.big", expires_at = soon })

    local status, s = e:post("/api/v1/suppressions", { rule = "test.big", address = A, reason = "our own wallet",
      expires_at = soon })
    assert.equal(201, status)
    assert.is_true(s.active)
    local verdict = send(e, 0)
    assert.is_false(verdict.is_anomaly)
    assert.equal(1, verdict.suppressed)
    assert.equal(0, #verdict.alerts)
    send(e, 1)
    local _, other = send(e, 2, { from = B })
    assert.is_true(other.new)
    local _, page = e:get("/api/v1/anomalies")
    assert.equal(1, #page.items)
    _, page = e:get("/api/v1/anomalies?suppressed=true")
    assert.equal(s.id, page.items[1].suppressed_by)
    assert.equal(2, page.items[1].occurrences)
    _, s = e:get("/api/v1/suppressions/" .. s.id)
    assert.equal(2, s.hidden)

    local events = listen(e)
    status, s = e:post("/api/v1/suppressions/" .. s.id .. "/end")
    assert.equal(200, status)
    assert.is_false(s.active)
    local _, told = send(e, 3)
    assert.is_false(told.new)
    assert.equal(page.items[1].id, told.id)
    assert.is_truthy(events("anomaly", 1):find('"occurrences":3', 1, true))
    _, page = e:get("/api/v1/anomalies")
    assert.equal(2, #page.items)
    assert.equal("suppression.create,suppression.end", e:sql(
      "SELECT string_agg(event_type, ',' ORDER BY id) FROM audit_logs WHERE event_type LIKE 'suppression.%'"))
    assert.equal(404, (e:post("/api/v1/suppressions/999/end")))
  end)
end)
