--- A real Prometheus scrapes the engine: every query of the dashboard and every rule gives what it should there.

local engine = require "tests.support.engine"
local hostile = require "tests.support.hostile"
local socket = require "socket"
local cjson = require "cjson"

describe("monitoring", function()
  local e, port, pid, nodes

  local function query(expr)
    local code, text = engine.run(string.format("curl -s --data-urlencode 'query=%s' http://127.0.0.1:%d/api/v1/query",
      expr:gsub("'", "'\\''"), port))
    assert(code == 0, text)
    return cjson.decode(text)
  end

  local function free_port()
    local s = assert(socket.bind("127.0.0.1", 0))
    local _, p = s:getsockname()
    s:close()
    return tonumber(p)
  end

  setup(function()
    nodes = hostile.start { seed = 1, chains = 1 }
    nodes:op("grow", { chain = 0, n = 5 })
    local conf_dir = engine.tmpdir()
    engine.write(conf_dir .. "/conf.lua", string.format('return { source = { { name = "dev", chain_id = 9000, start = 0, poll_ms = 200, '
      .. 'endpoints = { "%s" } } } }', nodes:url(0)))
    e = engine.start { sets = { "database.stats_s=1" }, env = "CHAINWATCH_CONFIG=" .. conf_dir .. "/conf.lua" }
    os.execute("rm -rf " .. conf_dir)
    for i = 1, 30 do
      e:post("/api/v1/predict", engine.tx { from = "0x00000000000000000000000000000000000000e1", to = string.format("0x%040x", i) })
    end
    local dir = e.dir .. "/prometheus"
    os.execute("mkdir -p " .. dir .. " && cp conf/prometheus/*.yml " .. dir)
    local conf = engine.read("conf/prometheus/prometheus.yml")
    conf = conf:gsub("127%.0%.0%.1:8080", "127.0.0.1:" .. e.port):gsub(": 15s", ": 1s")
    engine.write(dir .. "/prometheus.yml", conf)
    port = free_port()
    os.execute(string.format("cd %s && setsid prometheus --config.file=prometheus.yml --storage.tsdb.path=data "
      .. "--web.listen-address=127.0.0.1:%d >prometheus.log 2>&1 & echo $! > %s/pid", dir, port, dir))
    pid = engine.read(dir .. "/pid"):match("%d+")
    engine.wait("Prometheus to have scraped twice\n" .. (engine.read(dir .. "/prometheus.log") or ""), 30, function()
      local ok, answer = pcall(query, "count_over_time(chainwatch_db_up[1m]) >= 4")
      return ok and answer.status == "success" and #answer.data.result > 0
    end)
  end)
  teardown(function()
    if pid then os.execute("kill " .. pid .. " 2>/dev/null") end
    e:stop()
    nodes:stop()
  end)

  it("has rules that promtool takes, and whose tests pass", function()
    for _, command in ipairs { "promtool check rules conf/prometheus/chainwatch.yml", "promtool check config conf/prometheus/prometheus.yml",
      "promtool test rules conf/prometheus/chainwatch_test.yml" } do
      local code, text = engine.run(command)
      assert.equal(0, code, text)
    end
    local _, text = e:get "/metrics"
    local path = e.dir .. "/metrics.txt"
    engine.write(path, text)
    local code, words = engine.run("promtool check metrics < " .. path)
    assert.equal(0, code, words)
    assert.equal("", words)
  end)

  it("knows the database", function()
    for expr, least in pairs {
      ["chainwatch_db_up"] = 1, ["chainwatch_db_size_bytes"] = 1e6, ["chainwatch_db_backends"] = 1,
      ['chainwatch_db_table_bytes{table="transactions"}'] = 1, ['chainwatch_db_table_index_bytes{table="predictions"}'] = 1,
      ["chainwatch_db_max_connections"] = 10, ["chainwatch_db_pool_limit"] = 30, ["chainwatch_db_commits_total"] = 1,
      ["count(chainwatch_db_index_bytes)"] = 30, ['chainwatch_db_query_seconds_count{statement="db_stats"}'] = 1,
      ["chainwatch_db_pool_wait_seconds_count"] = 1,
    } do
      local answer = query(expr)
      assert.equal("success", answer.status, expr)
      assert.is_true(#answer.data.result >= 1, expr)
      assert.is_true(tonumber(answer.data.result[1].value[2]) >= least, expr .. ": " .. answer.data.result[1].value[2])
    end
    assert.equal(0, #query('chainwatch_db_table_bytes{table=~".*_20[0-9]{2}_.*"}').data.result)
  end)

  it("answers every query of the dashboard", function()
    local board = cjson.decode(engine.read "conf/grafana/chainwatch.json")
    local asked, empty = 0, {}
    for _, panel in ipairs(board.panels) do
      for _, target in ipairs(panel.targets or {}) do
        local expr = target.expr:gsub("%$__rate_interval", "1m"):gsub("%$instance", ".*")
        local answer = query(expr)
        assert.equal("success", answer.status, panel.title .. ": " .. expr .. ": " .. tostring(answer.error))
        asked = asked + 1
        if #answer.data.result == 0 then empty[#empty + 1] = panel.title .. ": " .. expr end
      end
    end
    assert.is_true(asked >= 30)
    assert.same({}, empty)
  end)

  it("has no alert while all is well, and records the series that alerts look at", function()
    local answer = query 'ALERTS{alertstate="firing"}'
    assert.same({}, answer.data.result)
    answer = query "chainwatch:db_pool_utilisation:ratio"
    assert.is_true(tonumber(answer.data.result[1].value[2]) <= 1)
  end)

  it("keeps samples of it all", function()
    local status, run = e:post "/api/v1/jobs/metrics_sample/run"
    if status == 409 then status, run = 202, nil end
    assert.equal(202, status)
    engine.wait("the sample", 10, function()
      return tonumber(e:sql "SELECT count(*) FROM system_metrics WHERE metric_name = 'chainwatch_db_pool_busy'") >= 1
    end)
    local _, body = e:get "/api/v1/metrics/system?name=chainwatch_db_table_bytes&limit=100"
    local found
    for _, s in ipairs(body.items) do found = found or s.tags.table == "transactions" end
    assert.is_true(found, tostring(run and run.id))
  end)
end)
