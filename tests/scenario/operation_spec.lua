--- Health, metrics, the API's description, the event stream.

local engine = require "tests.support.engine"
local socket = require "socket"
local cjson = require "cjson"

describe("operation", function()
  local e
  setup(function() e = engine.start() end)
  teardown(function() e:stop() end)

  it("is healthy, and says so without a key", function()
    engine.wait("rules to be at work", 10, function() return (e:call("GET", "/health/ready")) == 200 end)
    for _, path in ipairs { "/health", "/health/live", "/health/ready" } do
      local status, body = e:call("GET", path, nil, { ["X-API-Key"] = false })
      assert.equal(200, status)
      assert.equal("ok", body.status)
    end
  end)

  it("answers HEAD like GET without a body", function()
    local status, body, headers = e:call("HEAD", "/health/live")
    assert.equal(200, status)
    assert.equal("", body)
    assert.equal("15", headers["content-length"])
  end)

  it("has metrics that promtool likes", function()
    e:post("/api/v1/predict", engine.tx())
    local status, text = e:get("/metrics")
    assert.equal(200, status)
    assert.is_truthy(text:find("chainwatch_build_info{", 1, true))
    assert.is_truthy(text:find("process_resident_memory_bytes", 1, true))
    assert.is_truthy(text:find("chainwatch_http_requests_total{", 1, true))
    local path = e.dir .. "/metrics.txt"
    engine.write(path, text)
    local code, words = engine.run("promtool check metrics < " .. path)
    assert.equal(0, code, words)
  end)

  it("describes every route in OpenAPI", function()
    local _, doc = e:get("/openapi.json")
    assert.equal("3.1.0", doc.openapi)
    local n = 0
    for path, operations in pairs(doc.paths) do
      for method, op in pairs(operations) do
        n = n + 1
        assert.is_string(op.summary, path .. " " .. method)
        assert.is_table(op.responses, path .. " " .. method)
      end
    end
    assert.is_true(n >= 18)
    assert.equal("string", doc.paths["/api/v1/anomalies"].get.parameters[1].schema.type)
  end)

  it("echoes a request id, and makes one", function()
    local _, _, headers = e:get("/health", { ["X-Request-Id"] = "abc-123" })
    assert.equal("abc-123", headers["x-request-id"])
    _, _, headers = e:get("/health", { ["X-Request-Id"] = "bad id\"" })
    assert.equal(32, #headers["x-request-id"])
  end)

  it("streams anomalies as they are committed, and resumes", function()
    local function subscribe(last)
      local c = assert(socket.tcp())
      c:settimeout(10)
      c:connect("127.0.0.1", e.port)
      c:send("GET /api/v1/anomalies/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: " .. e.key .. "\r\n"
        .. (last and "Last-Event-ID: " .. last .. "\r\n" or "") .. "\r\n")
      return c
    end
    local function next_event(c)
      local id
      while true do
        local line = assert(c:receive("*l"))
        id = line:match("^id: ?(%d+)") or id
        local data = line:match("^data: ?(.*)")
        if data then return id, cjson.decode(data) end
      end
    end
    local function provoke(sender)
      for i = 1, 27 do
        e:post("/api/v1/predict", engine.tx { from = string.format("0x%040x", sender),
          to = string.format("0x%040x", 9000 + i), timestamp = 1750000000 + i })
      end
    end
    local first = subscribe()
    assert.is_truthy((first:receive("*l")):find("200"))
    provoke(0x51de)
    local id, event = next_event(first)
    assert.equal("eth.fan_out", event.rule)
    assert.equal(id, tostring(event.id))
    first:close()
    provoke(0x51df)
    local second = subscribe(id)
    local later = next_event(second)
    assert.is_true(tonumber(later) > tonumber(id))
    second:close()
  end)

  it("lists its rules and takes one out", function()
    local _, set = e:get("/api/v1/ruleset")
    assert.equal(64, #set.digest)
    local _, rules = e:get("/api/v1/rules")
    assert.equal(#set.rules, #rules.items)
    assert.equal(200, (e:post("/api/v1/rules/eth.fan_out/disable")))
    engine.wait("the rule to be out", 5, function()
      local _, now = e:get("/api/v1/ruleset")
      for _, r in ipairs(now.rules) do if r.id == "eth.fan_out" then return r.enabled == false end end
    end)
    assert.equal(200, (e:post("/api/v1/rules/eth.fan_out/enable")))
    assert.equal(404, (e:post("/api/v1/rules/eth.nothing/enable")))
  end)
end)
