--- The event stream resumes over a restart: what has left the engine's memory comes from the database, then it goes on live.

local engine = require "tests.support.engine"
local socket = require "socket"
local cjson = require "cjson"

local RULE = [[
return rule {
  id = "test.each", version = "1.0.0", severity = "medium", title = "Each", description = "Fires on each.", cooldown = 0,
  evaluate = function(tx)
    if tx.value < 1e40 then return alert { score = 0.5, explain = { nonce = tx.nonce, list = { 1, 2 } } } end
  end,
  tests = {
    { name = "fires", given = txs { n = 1, from = A, to = B }, expect = "alert" },
    { name = "quiet", given = txs { n = 1, from = A, to = B, value = 1e40 }, expect = "quiet" },
  },
}
]]

describe("the event stream", function()
  local e, dir
  local function start() e = engine.start { dir = dir, sets = { "rules.dir=" .. dir .. "/rules" } } end
  setup(function()
    dir = engine.tmpdir()
    os.execute("mkdir " .. dir .. "/rules")
    engine.write(dir .. "/rules/each.lua", RULE)
    start()
  end)
  teardown(function()
    e:stop()
    os.execute("rm -rf " .. dir)
  end)

  local function subscribe(last, query)
    local c = assert(socket.tcp())
    c:settimeout(10)
    c:connect("127.0.0.1", e.port)
    c:send("GET /api/v1/anomalies/stream" .. (query or "") .. " HTTP/1.1\r\nHost: x\r\nX-API-Key: " .. e.key .. "\r\n"
      .. (last and "Last-Event-ID: " .. last .. "\r\n" or "") .. "\r\n")
    assert.is_truthy((assert(c:receive("*l"))):find("200", 1, true))
    return c
  end
  local function next_event(c)
    local id
    while true do
      local line = assert(c:receive("*l"))
      id = line:match("^id: ?(%d+)") or id
      local data = line:match("^data: ?(.*)")
      if data then return tonumber(id), cjson.decode(data), data end
    end
  end
  local function post() assert.equal(200, (e:post("/api/v1/predict", engine.tx()))) end

  it("fills a gap over a restart from the database, in the same words", function()
    local c = subscribe()
    local told = {}
    for i = 1, 4 do
      post()
      local id, event = next_event(c)
      told[i] = { id = id, event = event }
    end
    c:close()
    e:stop()
    start()
    engine.wait("readiness", 20, function() return e:get("/health/ready") == 200 end)
    c = subscribe(told[1].id)
    for i = 2, 4 do
      local id, event = next_event(c)
      assert.equal(told[i].id, id)
      assert.same(told[i].event, event)
    end
    post()
    assert.is_true((next_event(c)) > told[4].id)
    c:close()
  end)

  it("minds the filters", function()
    local c = subscribe(1, "?rule=test.none")
    c:settimeout(0.5)
    repeat
      local line = c:receive("*l")
      assert.is_falsy((line or ""):find("^data"))
    until not line
    c:close()
    local status = e:call("HEAD", "/api/v1/anomalies/stream?last_id=1")
    assert.is_true(status == 200 or status == 405, tostring(status))
  end)
end)
