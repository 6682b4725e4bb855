--- What the repositories give over HTTP: lists of transactions, statistics, the review queue, models, sampled metrics.

local engine = require "tests.support.engine"
local cjson = require "cjson"

describe("repositories over HTTP", function()
  local e
  local ETHER = "000000000000000000"

  setup(function()
    e = engine.start()
    for i = 1, 30 do
      e:post("/api/v1/predict", engine.tx {
        from = "0x00000000000000000000000000000000000000c1", to = string.format("0x%040x", i % 3 + 1),
        timestamp = 1750000000 + i, value = (i * 10) .. ETHER, status = i % 5 == 0 and 0 or 1,
      })
    end
    e:sql [[INSERT INTO system_metrics (metric_name, metric_value, tags, timestamp)
      SELECT 'test', i, '{"n": 1}', timestamptz '2026-01-01 00:00+00' + i * interval '10 seconds'
      FROM generate_series(0, 59) i]]
    e:sql [[INSERT INTO models (name, model_type) VALUES ('forest', 'iforest')]]
    e:sql [[INSERT INTO model_versions (model_id, version) SELECT id, v FROM models, unnest('{1,2}'::text[]) v
      WHERE name = 'forest']]
  end)
  teardown(function() e:stop() end)

  local function get(path, ...)
    local status, body = e:get("/api/v1" .. string.format(path, ...))
    return body, status
  end

  for round = 1, 2 do
    describe("round " .. round, function()
      it("lists transactions by period, value, status, address, both ways and by number", function()
        assert.equal(10, #get("/transactions?since=1750000001&until=1750000011").items)
        assert.equal(11, #get("/transactions?min_value=200%s", ETHER).items)
        assert.equal(6, #get("/transactions?status=0&since=1750000000").items)
        local first = get("/transactions?since=1750000000&order=asc&limit=7")
        assert.equal("1750000001", first.items[1].timestamp)
        local second = get("/transactions?since=1750000000&order=asc&limit=7&cursor=%s", first.next)
        assert.equal("1750000008", second.items[1].timestamp)
        local numbered = get("/transactions?since=1750000000&order=asc&limit=7&offset=7")
        assert.equal(second.items[1].hash, numbered.items[1].hash)
        assert.equal(10, #get("/transactions?address=0x%040x&direction=in&include=predictions", 2).items)
      end)

      it("says what does not go together", function()
        local body, status = get("/transactions?address=0x%040x&min_value=1", 2)
        assert.equal(400, status)
        assert.equal("min_value does not go with an address", body.detail)
        status = select(2, get "/transactions?direction=in")
        assert.equal(400, status)
        body, status = get "/transactions?min_value=1.5"
        assert.equal(400, status)
        assert.is_truthy(body.detail:find('"min_value" must be a whole number below 2^256', 1, true))
        local page = get "/transactions?limit=2"
        body, status = get("/transactions?limit=2&order=asc&cursor=%s", page.next)
        assert.equal(400, status)
        assert.is_truthy(body.detail:find("cursor", 1, true))
        body, status = get "/transactions?offset=100001"
        assert.equal(400, status)
        assert.is_truthy(body.detail:find("offset must be between 0 and 100000", 1, true))
      end)

      it("sums exactly", function()
        local sums = get "/transactions/statistics?since=1750000000&until=1750001000"
        assert.equal(30, sums.count)
        assert.equal("4650" .. ETHER, sums.value)
        assert.equal("155" .. ETHER, sums.mean_value)
        assert.equal("10" .. ETHER, sums.min_value)
        assert.equal("300" .. ETHER, sums.max_value)
        assert.equal(6, sums.failed)
        local none = get "/transactions/statistics?since=2100-01-01T00:00:00Z"
        assert.equal("0", none.value)
        assert.equal(cjson.null, none.max_value)
      end)

      it("has a review queue and statistics of anomalies", function()
        for i = 1, 26 do
          e:post("/api/v1/predict", engine.tx { from = string.format("0x%040x", 9000 + round),
            to = string.format("0x%040x", 300 + 50 * round + i), timestamp = 1760000000 + i })
        end
        local queue = get "/anomalies/unreviewed"
        assert.is_true(#queue.items >= 1)
        local stats = get "/anomalies/statistics?since=2020-01-01T00:00:00Z"
        assert.is_true(#stats.items >= 1)
        assert.is_true(#stats.addresses >= 1)
        assert.is_number(stats.false_positive_rate.reviewed)
        local before = #queue.items
        e:post("/api/v1/anomalies/" .. queue.items[1].id .. "/review", { false_positive = true })
        assert.equal(before - 1, #get("/anomalies/unreviewed").items)
      end)

      it("shows models, versions and their traffic, and sets it", function()
        local page = get "/models?model_type=iforest&include=versions"
        local model = page.items[1]
        assert.equal("forest", model.name)
        assert.equal(2, #model.versions)
        local rules = get "/models?model_type=rule&limit=1&order=asc"
        assert.equal("rule", rules.items[1].model_type)
        local versions = get("/models/%d/versions", rules.items[1].id)
        assert.is_true(#versions.items >= 1)
        local one = get("/models/%d/versions/%d", rules.items[1].id, versions.items[1].id)
        assert.is_truthy(one.source:find("rule", 1, true))
        local _, status = get("/models/%d/versions/%d", model.id, versions.items[1].id)
        assert.equal(404, status)
        _, status = get "/models/999999/versions"
        assert.equal(404, status)

        local a, b = tostring(model.versions[1].id), tostring(model.versions[2].id)
        local path = "/api/v1/models/" .. model.id .. "/traffic"
        local body
        status, body = e:call("PUT", path, { shares = { [a] = 30, [b] = 70 } })
        assert.equal(200, status)
        assert.equal(70, body.items[1].traffic_percentage)
        status, body = e:call("PUT", path, { shares = { [a] = 30, [b] = 60 } })
        assert.equal(400, status)
        assert.is_truthy(body.detail:find("the shares must sum to 100", 1, true))
        status = e:call("PUT", path, { shares = { [a] = 50, ["999999"] = 50 } })
        assert.equal(404, status)
        status = e:call("PUT", "/api/v1/models/" .. rules.items[1].id .. "/traffic", { shares = { ["1"] = 100 } })
        assert.equal(409, status)
        assert.equal(tostring(round), e:sql "SELECT count(*) FROM audit_logs WHERE event_type = 'model.traffic'")
      end)

      it("down-samples metrics", function()
        local body = get "/metrics/system?name=test&since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z&bucket=60"
        assert.equal(10, #body.items)
        local p = body.items[2]
        assert.same({ 6, 11, 11, 8.5, 6 }, { p.min, p.max, p.last, p.average, p.count })
        assert.equal(1, p.tags.n)
        assert.equal(60, #get("/metrics/system?name=test&limit=100&since=2026-01-01T00:00:00Z").items)
        local tagged = get("/metrics/system?name=test&limit=100&tags=%%7B%%22n%%22:2%%7D")
        assert.equal(0, #tagged.items)
        local _, status = get "/metrics/system?name=test&bucket=60"
        assert.equal(400, status)
        _, status = get "/metrics/system?name=test&bucket=1&since=2020-01-01T00:00:00Z"
        assert.equal(400, status)
        assert.is_true(#get("/metrics/system/names").items >= 1)
      end)
    end)
  end
end)
