--- Backtest and explain against what live traffic said: the same, to the last digit.

local engine = require "tests.support.engine"
local cjson = require "cjson"

describe("offline runs", function()
  local e, dir, file
  setup(function()
    e = engine.start { sets = { "pipeline.replay_max=1000000" } }
    dir = engine.tmpdir()
    file = dir .. "/s.ndjson"
    assert(engine.run(engine.bin .. " simulate --seed 11 --blocks 130 --out " .. file) == 0)
    local code, words = engine.run(string.format("CHAINWATCH_DATA_DIR=%s %s ingest -q %s", e.dir, engine.bin, file))
    assert(code == 0, words)
  end)
  teardown(function()
    e:stop()
    os.execute("rm -rf " .. dir)
  end)

  local function cw(command)
    return engine.run(string.format("(CHAINWATCH_DATA_DIR=%s %s rules %s 2>%s/err)", e.dir, engine.bin, command, dir))
  end

  local function sorted(list)
    table.sort(list)
    return table.concat(list, "\n")
  end

  -- Each fire as a line: from the tables, and from the file of a backtest.
  local function live(where)
    local text = e:sql("SELECT '0x' || encode(t.hash, 'hex') || ' ' || a.rule_id || ' ' || e.severity || ' ' || "
      .. "e.anomaly_score || ' ' || e.confidence || ' ' || a.dedup_key || ' ' || a.founder || ' ' || e.features_used::text "
      .. "FROM anomaly_evidence e JOIN anomalies a ON a.id = e.anomaly_id JOIN transactions t ON t.id = e.transaction_id "
      .. "WHERE " .. (where or "true"))
    local list = {}
    for line in text:gmatch("[^\n]+") do
      local head, features = line:match("^(.-) ({.*)$")
      list[#list + 1] = head .. " " .. #cjson.decode(features) .. sorted((function()
        local out = {}
        for k, v in pairs(cjson.decode(features)) do out[#out + 1] = k .. "=" .. tostring(v) end
        return out
      end)())
    end
    return list
  end

  local function tested(path)
    local list = {}
    for line in io.lines(path) do
      local a = cjson.decode(line)
      local features = {}
      for k, v in pairs(a.features) do features[#features + 1] = k .. "=" .. tostring(v) end
      list[#list + 1] = string.format("%s %s %s %s %s %s %d %d%s", a.hash, a.rule, a.severity, line:match('"score":([^,]+)'),
        line:match('"confidence":([^,]+)'), a.dedup, a.founder, #a.features, sorted(features))
    end
    return list
  end

  it("a backtest of the live rules gives what live traffic gave", function()
    local code, text = cw("backtest --json --out " .. dir .. "/a.ndjson")
    assert.equal(0, code, text)
    local report, expected = cjson.decode(text), live()
    assert.is_true(#expected > 20)
    assert.equal(sorted(expected), sorted(tested(dir .. "/a.ndjson")))
    assert.equal(#expected, report.fires)
    assert.equal(tonumber(e:sql("SELECT count(*) FROM anomalies")), report.alerts)
    assert.equal(tonumber(e:sql("SELECT count(*) FROM transactions")), report.transactions)
    assert.equal(0, report.warmed_with)
  end)

  it("a range of it too, warmed up by what came before", function()
    local from, to = 1767225600 + 600, 1767225600 + 1200
    local code, text = cw(string.format("backtest --json --from %d --to %d --out %s/b.ndjson", from, to, dir))
    assert.equal(0, code, text)
    local where = string.format("t.timestamp >= to_timestamp(%d) AND t.timestamp < to_timestamp(%d)", from, to)
    assert.equal(sorted(live(where)), sorted(tested(dir .. "/b.ndjson")))
    local report = cjson.decode(text)
    assert.is_true(report.warmed_with > 1000)
    assert.equal(tonumber(e:sql("SELECT count(*) FROM transactions t WHERE " .. where)), report.transactions)
    assert.equal(1, (cw("backtest --from 2001-01-01 --to 2001-01-02")))
    assert.equal(2, (cw("backtest --from 2001-01-02 --to 2001-01-01")))
    assert.equal(2, (cw("backtest --from yesterday")))
  end)

  it("the file gives the same as the store, and knows its labels", function()
    -- Several requests were under way at a time: what was judged first is in the order of the identities.
    local lines, out = {}, assert(io.open(dir .. "/ordered.ndjson", "w"))
    for line in io.lines(file) do lines[line:match('"hash":"(0x%x+)"')] = line end
    for hash in e:sql("SELECT '0x' || encode(hash, 'hex') FROM transactions ORDER BY id"):gmatch("%S+") do
      out:write(lines[hash], "\n")
    end
    out:close()
    file = dir .. "/ordered.ndjson"
    local code, text = cw("backtest --json --file " .. file .. " --out " .. dir .. "/c.ndjson")
    assert.equal(0, code, text)
    local report = cjson.decode(text)
    -- Identities are not the numbers of lines: what is founded where is told by the counts.
    local function bare(list)
      for i, l in ipairs(list) do list[i] = l:gsub("^(0x%x+ %S+ %S+ %S+ %S+ %S*) %d+ ", "%1 ") end
      return sorted(list)
    end
    assert.equal(bare(live()), bare(tested(dir .. "/c.ndjson")))
    assert.equal(tonumber(e:sql("SELECT count(*) FROM anomalies")), report.alerts)
    local found = {}
    for _, l in ipairs(report.incidents.by_label) do found[l.label] = l.found / l.incidents end
    assert.equal(1, found.fan_out)
  end)

  it("counts reviews and labelled addresses", function()
    e:sql("UPDATE anomalies SET reviewed = true, false_positive = id % 2 = 0, reviewed_at = now() WHERE id <= 10")
    local address = e:sql("SELECT '0x' || encode(from_address, 'hex') FROM transactions t JOIN anomalies a "
      .. "ON a.transaction_id = t.id ORDER BY a.id LIMIT 1")
    engine.write(dir .. "/labels.csv", "address,category\n" .. address .. ",phishing\n")
    local code, text = cw("backtest --json --labels " .. dir .. "/labels.csv")
    assert.equal(0, code, text)
    local report = cjson.decode(text)
    assert.equal(tonumber(e:sql("SELECT count(*) FROM anomaly_evidence e JOIN anomalies a ON a.id = e.anomaly_id WHERE a.reviewed")),
      report.reviews.reviewed)
    assert.is_true(report.reviews.false_positives > 0)
    assert.equal(1, report.labels.addresses)
    assert.is_true(report.labels.alerts_on_labelled >= 1)
    e:sql("UPDATE anomalies SET reviewed = false, false_positive = NULL, reviewed_at = NULL")
  end)

  it("an interrupted run goes on and ends the same", function()
    local state = dir .. "/state"
    for _, signal in ipairs { "INT", "TERM" } do
      os.execute("rm -rf " .. state)
      local command = string.format("cd %s && %s rules backtest rules --file %s --state %s --out %s/d.ndjson --json",
        select(2, engine.run("pwd")):gsub("%s+$", ""), engine.bin, file, state, dir)
      -- Interrupted as soon as there is something to keep, else it was too quick and there is nothing to show.
      local code = engine.run(string.format("timeout -s %s 0.45 sh -c 'exec %s'", signal, command:gsub("^cd %S+ && ", "")))
      if code == 0 then
        pending("the run was over before it was interrupted")
        return
      end
      if engine.read(state .. "/backtest.json") then
        local rc, text = engine.run("(" .. command .. " --resume 2>/dev/null)")
        assert.equal(0, rc, text)
        local resumed = cjson.decode(text)
        local _, whole = cw("backtest rules --json --file " .. file)
        whole = cjson.decode(whole)
        assert.equal(sorted(tested(dir .. "/c.ndjson")), sorted(tested(dir .. "/d.ndjson")))
        for _, key in ipairs { "transactions", "alerts", "fires", "by_severity", "entities", "over_time", "incidents", "first", "last" } do
          assert.same(whole[key], resumed[key], key)
        end
        assert.is_nil(engine.read(state .. "/backtest.json"))
      end
      local rc, text = engine.run(command .. " --resume")
      assert.equal(1, rc, text)
      assert.is_truthy(text:find("no interrupted run", 1, true), text)
      engine.write(state .. "/backtest.json", '{"seq":1}')
      rc, text = engine.run(command .. " --resume")
      assert.equal(2, rc, text)
      assert.is_truthy(text:find('is damaged: "alerts_bytes"', 1, true), text)
      os.remove(state .. "/backtest.json")
    end
  end)

  it("explain agrees with live traffic, fired or not", function()
    local hashes = {}
    for hash in e:sql("(SELECT '0x' || encode(t.hash, 'hex') FROM anomaly_evidence e JOIN transactions t "
      .. "ON t.id = e.transaction_id ORDER BY e.transaction_id DESC LIMIT 2) UNION ALL "
      .. "(SELECT '0x' || encode(hash, 'hex') FROM transactions WHERE id % 4001 = 77 LIMIT 2)"):gmatch("%S+") do
      hashes[#hashes + 1] = hash
    end
    assert.equal(4, #hashes)
    local fired, quiet = 0, 0
    for _, hash in ipairs(hashes) do
      local code, text = cw("explain --json " .. hash)
      assert.equal(0, code, text)
      local json = cjson.decode(text)
      assert.equal(hash, json.transaction.hash)
      assert.is_true(#json.rules >= 6)
      for _, rule in ipairs(json.rules) do
        assert.is_true(rule.agrees, rule.rule .. " on " .. hash .. ": " .. rule.outcome)
        if rule.outcome == "alert" then fired = fired + 1 else quiet = quiet + 1 end
      end
    end
    assert.is_true(fired >= 2)
    assert.is_true(quiet > 10)
  end)

  it("explain names what is not there", function()
    local none = "0x" .. ("0"):rep(63) .. "1"
    local code = cw("explain " .. none)
    assert.equal(1, code)
    assert.is_truthy(engine.read(dir .. "/err"):find("is not stored", 1, true))
    assert.equal(2, (cw("explain 0x12")))
    assert.equal(2, (cw("explain")))
    local hash = e:sql("SELECT '0x' || encode(hash, 'hex') FROM transactions ORDER BY id LIMIT 1")
    assert.equal(1, (cw("explain --rule acme.nothing " .. hash)))
    assert.equal(1, (cw("explain --rule eth.fan_out --version 9 " .. hash)))
    code = cw("explain --rule eth.fan_out --version 1 " .. hash)
    assert.equal(0, code, engine.read(dir .. "/err"))
  end)

  it("explains over HTTP as the command line does", function()
    local hash = e:sql("SELECT '0x' || encode(t.hash, 'hex') FROM anomaly_evidence e JOIN transactions t "
      .. "ON t.id = e.transaction_id ORDER BY e.transaction_id DESC LIMIT 1")
    local rule = e:sql("SELECT a.rule_id FROM anomaly_evidence e JOIN anomalies a ON a.id = e.anomaly_id "
      .. "ORDER BY e.transaction_id DESC LIMIT 1")
    local status, json = e:get("/api/v1/explain/" .. hash .. "?rule=" .. rule)
    assert.equal(200, status, cjson.encode(json))
    assert.equal(1, #json.rules)
    assert.equal("alert", json.rules[1].outcome)
    assert.is_true(json.rules[1].agrees)
    assert.is_true(#json.rules[1].steps > 0)
    local code, text = cw("explain --json --rule " .. rule .. " " .. hash)
    assert.equal(0, code)
    assert.same(cjson.decode(text).rules[1].steps, json.rules[1].steps)
    assert.same(cjson.decode(text).rules[1].alert, json.rules[1].alert)
    assert.equal(404, (e:get("/api/v1/explain/" .. hash .. "?rule=acme.nothing")))
    assert.equal(404, (e:get("/api/v1/explain/0x" .. ("0"):rep(64))))
    assert.equal(400, (e:get("/api/v1/explain/0x12")))
    assert.equal(400, (e:get("/api/v1/explain/" .. hash .. "?version=1.0.0")))
  end)

  local function wait_for(id)
    return engine.wait("the backtest", 60, function()
      local status, json = e:get("/api/v1/backtests/" .. id)
      assert.equal(200, status)
      return json.status ~= "running" and json
    end)
  end

  it("runs backtests over HTTP", function()
    local status, started = e:post("/api/v1/backtests", { rule = "eth.fan_out" })
    assert.equal(202, status, cjson.encode(started))
    assert.equal(429, (e:post("/api/v1/backtests", { rule = "eth.fan_in" })))
    local json = wait_for(started.id)
    assert.equal("succeeded", json.status, tostring(json.error))
    assert.equal(tonumber(e:sql("SELECT count(*) FROM anomalies WHERE rule_id = 'eth.fan_out'")), json.detail.report.alerts)
    assert.equal(json.detail.report.fires, #json.detail.alerts)
    assert.equal("eth.fan_out", json.detail.request.rule)
    local _, list = e:get("/api/v1/backtests")
    assert.equal(started.id, list.items[1].id)
    assert.is_nil(list.items[1].detail.report)

    local source = "return rule { id = 'acme.all', version = '1.0.0', severity = 'low', title = 'T', description = 'D',\n"
      .. "evaluate = function(tx) if tx.ether > 1000 then return alert { score = 1, dedup = tx.from } end end,\n"
      .. "tests = { { name = 'a', given = tx { ether = 2000 }, expect = 'alert' }, { name = 'q', given = tx {}, expect = 'quiet' } } }"
    status, started = e:post("/api/v1/backtests", { source = source, from = "2026-01-01T00:00:00Z", warm = "0" })
    assert.equal(202, status, cjson.encode(started))
    json = wait_for(started.id)
    assert.equal("succeeded", json.status, tostring(json.error))
    assert.equal(tonumber(e:sql("SELECT count(*) FROM transactions WHERE value > 1000::numeric * 10 ^ 18")), json.detail.report.fires)

    status, started = e:post("/api/v1/backtests", { source = "return rule {" })
    assert.equal(202, status)
    json = wait_for(started.id)
    assert.equal("failed", json.status)
    assert.is_truthy(json.error:find("source.lua:1", 1, true), json.error)

    assert.equal(404, (e:post("/api/v1/backtests", { rule = "acme.nothing" })))
    assert.equal(422, (e:post("/api/v1/backtests", { from = "yesterday" })))
    assert.equal(422, (e:post("/api/v1/backtests", { form = "2026-01-01T00:00:00Z" })))
    assert.equal(404, (e:get("/api/v1/backtests/999999")))
    assert.equal(404, (e:call("DELETE", "/api/v1/backtests/999999")))
    status, started = e:post("/api/v1/backtests", {})
    assert.equal(202, status)
    status, json = e:call("DELETE", "/api/v1/backtests/" .. started.id)
    assert.equal(200, status, cjson.encode(json))
    json = wait_for(started.id)
    assert.equal("interrupted", json.status)
  end)

  it("leaves no trace in the engine", function()
    local status, ruleset = e:get("/api/v1/ruleset")
    assert.equal(200, status)
    for _, rule in ipairs(ruleset.rules) do assert.is_falsy(rule.quarantined) end
    assert.equal(tonumber(e:sql("SELECT count(*) FROM transactions")), tonumber(e:sql("SELECT count(*) FROM predictions")))
  end)
end)
